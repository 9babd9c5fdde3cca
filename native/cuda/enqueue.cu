#include "cuda/enqueue.h"

#include <algorithm>

#include "cuda/driver.h"
#include "cuda/launch.h"

namespace flashdec::cuda {
namespace {

constexpr int kFirstDependent = 90;  // sm_90, the first with programmatic dependent launch

// More than half of a multiprocessor's: of two kernels that overlap, the second must not put two
// blocks on one multiprocessor while another has none.
int more_than_half() {
  int device = 0;
  int bytes = 0;
  check(cudaGetDevice(&device), "cudaGetDevice");
  check(cudaDeviceGetAttribute(&bytes, cudaDevAttrMaxSharedMemoryPerMultiprocessor, device),
        "cudaDeviceGetAttribute");
  return bytes / 2;
}

// A green context has a part of the multiprocessors.  The driver refuses a grid that has to be
// resident together and is too large for them, but not while the stream is captured: the graph
// would wait for ever.
bool has_part_of_device(cudaStream_t stream) {
  const auto green_context = driver().green_context;
  CUgreenCtx green = nullptr;
  return green_context != nullptr && green_context(stream, &green) == CUDA_SUCCESS &&
         green != nullptr;
}

}  // namespace

bool enqueue(const Start& start, cudaStream_t stream) {
  if (start.together && has_part_of_device(stream)) return false;
  cudaLaunchAttribute attributes[2] = {};
  unsigned count = 0;
  if (start.dependent) {
    attributes[count].id = cudaLaunchAttributeProgrammaticStreamSerialization;
    attributes[count++].val.programmaticStreamSerializationAllowed = 1;
  }
  if (start.together) {
    attributes[count].id = cudaLaunchAttributeCooperative;
    attributes[count++].val.cooperative = 1;
  }
  cudaLaunchConfig_t config = {};
  config.gridDim = dim3(static_cast<unsigned>(start.shape.blocks));
  config.blockDim = dim3(static_cast<unsigned>(start.shape.threads));
  config.dynamicSmemBytes = static_cast<size_t>(start.shape.smem);
  config.stream = stream;
  config.attrs = attributes;
  config.numAttrs = count;
  const cudaError_t error = cudaLaunchKernelExC(&config, start.kernel, start.shape.arguments);
  if (start.together && error == cudaErrorCooperativeLaunchTooLarge) {
    cudaGetLastError();  // not ours to leave behind
    return false;
  }
  check(error, "the launch of a kernel");
  return true;
}

KernelSetup::State KernelSetup::find(const void* kernel, const LaunchShape& shape,
                                     uint64_t context) const {
  cudaFuncAttributes facts;
  check(cudaFuncGetAttributes(&facts, kernel), "cudaFuncGetAttributes");
  const bool dependent = facts.ptxVersion >= kFirstDependent;  // the code waits for itself
  const bool alone = dependent && shape.smem > 0;
  const int smem = alone ? std::max(shape.smem, more_than_half()) : shape.smem;
  if (smem > 0)  // more than 48 KB only where it is asked for
    check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, smem),
          "cudaFuncSetAttribute");
  return {context, static_cast<uint64_t>(smem), dependent};
}

Start KernelSetup::start(const void* kernel, const LaunchShape& shape) {
  const uint64_t context = current_context_id();
  State state = state_.load(std::memory_order_acquire);
  if (state.context != context) {
    state = find(kernel, shape, context);
    state_.store(state, std::memory_order_release);
  }
  Start start = {kernel, shape, state.dependent != 0, false};
  start.shape.smem = static_cast<int>(state.smem);
  return start;
}

}  // namespace flashdec::cuda
