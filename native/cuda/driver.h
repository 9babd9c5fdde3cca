// The few functions of the driver that the runtime has no equal for, or a slower one, found at run
// time: the library must load where there is no driver.
#pragma once

#include <cuda.h>

namespace flashdec::cuda {

struct Driver {
  decltype(&cuCtxGetCurrent) get_current;
  decltype(&cuCtxGetDevice) get_device;
  decltype(&cuCtxPushCurrent) push;
  decltype(&cuCtxPopCurrent) pop;
  decltype(&cuStreamGetCtx) stream_context;
  decltype(&cuDevicePrimaryCtxRetain) retain_primary;
  decltype(&cuDevicePrimaryCtxRelease) release_primary;
  decltype(&cuCtxGetId) context_id;
  decltype(&cuTensorMapEncodeTiled) encode_tiled;
  decltype(&cuTensorMapReplaceAddress) replace_address;
  decltype(&cuLaunchKernelEx) launch;
  decltype(&cuStreamGetGreenCtx) green_context;  // null: the driver is older than they are
};

// Refuses if the driver lacks one of the others.
const Driver& driver();

}  // namespace flashdec::cuda
