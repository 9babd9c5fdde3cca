// Devices, contexts and errors: everything of the CUDA backend that is not a kernel.

#include "cuda/backend.h"

#include <atomic>

#include "core/status.h"
#include "core/validate.h"
#include "cuda/driver.h"
#include "cuda/launch.h"

namespace flashdec::cuda {
namespace {

constexpr int kEntryVersion = 12000;  // of the driver's functions used here
constexpr int kGreenVersion = 12040;  // of green contexts

// Null if the driver lacks it.
void* entry_point(const char* name, int version) {
  void* function = nullptr;
  cudaDriverEntryPointQueryResult found = cudaDriverEntryPointSymbolNotFound;
  const cudaError_t error =
      cudaGetDriverEntryPointByVersion(name, &function, version, cudaEnableDefault, &found);
  return error == cudaSuccess && found == cudaDriverEntryPointSuccess ? function : nullptr;
}

template <class Function>
void find(Function& target, const char* name) {
  target = reinterpret_cast<Function>(entry_point(name, kEntryVersion));
  if (target == nullptr)
    refuse(FLASHDEC_NO_DEVICE, "the CUDA driver has no %s; it is older than CUDA %d", name,
           kEntryVersion / 1000);
}

Driver find_driver() {
  Driver found;
  find(found.get_current, "cuCtxGetCurrent");
  find(found.get_device, "cuCtxGetDevice");
  find(found.push, "cuCtxPushCurrent");
  find(found.pop, "cuCtxPopCurrent");
  find(found.stream_context, "cuStreamGetCtx");
  find(found.retain_primary, "cuDevicePrimaryCtxRetain");
  find(found.release_primary, "cuDevicePrimaryCtxRelease");
  find(found.context_id, "cuCtxGetId");
  find(found.encode_tiled, "cuTensorMapEncodeTiled");
  find(found.replace_address, "cuTensorMapReplaceAddress");
  find(found.launch, "cuLaunchKernelEx");
  found.green_context = reinterpret_cast<decltype(found.green_context)>(
      entry_point("cuStreamGetGreenCtx", kGreenVersion));
  return found;
}

// The default streams of the driver API belong to whichever context is current.
bool is_default(CUstream_st* stream) {
  return stream == nullptr || stream == CU_STREAM_LEGACY || stream == CU_STREAM_PER_THREAD;
}

void check_driver(CUresult result, const char* what) {
  if (result != CUDA_SUCCESS)
    refuse(FLASHDEC_CUDA_ERROR, "%s failed with CUDA driver error %d", what,
           static_cast<int>(result));
}

CUcontext context_of(CUstream_st* stream) {
  CUcontext context = nullptr;
  if (is_default(stream)) {
    check_driver(driver().get_current(&context), "cuCtxGetCurrent");
  } else {
    check_driver(driver().stream_context(stream, &context), "cuStreamGetCtx");
  }
  return context;
}

// -1 if the calling thread has no context.
int32_t current_device() {
  CUdevice device = -1;
  return driver().get_device(&device) == CUDA_SUCCESS ? device : -1;
}

int32_t device_of(CUcontext context) {
  CUdevice device = 0;
  check_driver(driver().push(context), "cuCtxPushCurrent");
  const CUresult result = driver().get_device(&device);
  CUcontext popped;
  check_driver(driver().pop(&popped), "cuCtxPopCurrent");
  check_driver(result, "cuCtxGetDevice");
  return device;
}

[[noreturn]] void refuse_no_device(cudaError_t error) {
  int version = 0;  // of the driver: 1000 * major + 10 * minor, 0 if there is none
  cudaDriverGetVersion(&version);
  if (version == 0)
    refuse(FLASHDEC_NO_DEVICE, "no NVIDIA driver is installed; a CPU plan needs none");
  if (version < CUDART_VERSION / 1000 * 1000)
    refuse(FLASHDEC_NO_DEVICE,
           "the NVIDIA driver is for CUDA %d.%d; this build needs %d.0 or later", version / 1000,
           version % 1000 / 10, CUDART_VERSION / 1000);
  refuse(FLASHDEC_NO_DEVICE, "no GPU is usable (%s); a CPU plan needs none",
         error != cudaSuccess ? cudaGetErrorString(error) : "the driver lists none");
}

int attribute(cudaDeviceAttr which, int32_t device) {
  int value = 0;
  check(cudaDeviceGetAttribute(&value, which, device), "cudaDeviceGetAttribute");
  return value;
}

// Bytes a second.  Asked for once, because the driver may have to read the clock from the device;
// two threads may do so at the same time.
int64_t memory_bandwidth(int32_t device) {
  constexpr int kDevices = 64;
  static std::atomic<int64_t> known[kDevices] = {};
  const int64_t before = device < kDevices ? known[device].load(std::memory_order_relaxed) : 0;
  if (before != 0) return before;
  // Two transfers a clock, which is in kHz; the width is in bits.
  const int64_t found = int64_t{2000} / 8 * attribute(cudaDevAttrMemoryClockRate, device) *
                        attribute(cudaDevAttrGlobalMemoryBusWidth, device);
  if (device < kDevices) known[device].store(found, std::memory_order_relaxed);
  return found;
}

}  // namespace

const Driver& driver() {
  static const Driver found = find_driver();
  return found;
}

void check(cudaError_t error, const char* what) {
  if (error != cudaSuccess)
    refuse(FLASHDEC_CUDA_ERROR, "%s failed: %s", what, cudaGetErrorString(error));
}

CudaDevice find_device(CUstream_st* stream, bool required) {
  int count = 0;
  const cudaError_t error = cudaGetDeviceCount(&count);
  if (error != cudaSuccess || count == 0) {
    if (required) refuse_no_device(error);
    return {-1, 0, 0, 0, 0};
  }
  const CUcontext context = context_of(stream);
  return device_facts(context != nullptr ? device_of(context) : 0);
}

CudaDevice device_facts(int32_t ordinal) {
  require_device(ordinal);
  CudaDevice device;
  device.ordinal = ordinal;
  device.arch = 10 * attribute(cudaDevAttrComputeCapabilityMajor, ordinal) +
                attribute(cudaDevAttrComputeCapabilityMinor, ordinal);
  device.sm_count = attribute(cudaDevAttrMultiProcessorCount, ordinal);
  device.smem_per_block = attribute(cudaDevAttrMaxSharedMemoryPerBlockOptin, ordinal);
  device.memory_bandwidth = memory_bandwidth(ordinal);
  return device;
}

void require_device(int32_t ordinal) {
  int count = 0;
  const cudaError_t error = cudaGetDeviceCount(&count);
  if (error != cudaSuccess || count == 0) refuse_no_device(error);
  if (ordinal >= count)
    refuse(FLASHDEC_NO_DEVICE, "device is %d; there are %d, numbered from 0", ordinal, count);
}

uint64_t current_context_id() {
  unsigned long long id = 0;
  check_driver(driver().context_id(nullptr, &id), "cuCtxGetId");
  return id;
}

ContextGuard::ContextGuard(CUstream_st* stream, int32_t device) : device_(device) {
  CUcontext context = context_of(stream), current = context;
  if (!is_default(stream)) check_driver(driver().get_current(&current), "cuCtxGetCurrent");
  if (context == current && current_device() == device) return;  // nearly always
  // A default stream is that of the plan's device, also where this thread has no context, or one of
  // another device: then the device's own context is taken for the moment.
  if (is_default(stream) && (context == nullptr || device_of(context) != device)) {
    check_driver(driver().retain_primary(&context, device), "cuDevicePrimaryCtxRetain");
    retained_ = true;
  }
  const CUresult pushed = driver().push(context);
  pushed_ = pushed == CUDA_SUCCESS;
  if (!pushed_) release();
  check_driver(pushed, "cuCtxPushCurrent");
  const int32_t actual = current_device();
  if (actual == device) return;
  release();
  refuse(FLASHDEC_WRONG_DEVICE, "the stream is of CUDA device %d; the plan runs on device %d",
         actual, device);
}

ContextGuard::~ContextGuard() {
  release();
}

void ContextGuard::release() {
  CUcontext popped;
  if (pushed_) driver().pop(&popped);
  if (retained_) driver().release_primary(device_);
}

void prepare_workspace(void* workspace, uint64_t bytes, int32_t device, CUstream_st* stream) {
  if (bytes == 0) return;
  const ContextGuard context(stream, device);
  check(cudaMemsetAsync(workspace, 0xff, bytes, stream), "cudaMemsetAsync");
}

}  // namespace flashdec::cuda
