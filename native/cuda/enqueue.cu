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

// A green context has a part of the multiprocessors.  Blocks that go where others have no room
// would do so all the time.  And the driver refuses a grid that has to be resident together and is
// too large for them, but not while the stream is captured: the graph would wait for ever.
bool has_part_of_device(cudaStream_t stream) {
  const auto green_context = driver().green_context;
  CUgreenCtx green = nullptr;
  return green_context != nullptr && green_context(stream, &green) == CUDA_SUCCESS &&
         green != nullptr;
}

}  // namespace

bool enqueue(const Start& start, cudaStream_t stream) {
  if (start.waits && has_part_of_device(stream)) return false;
  CUlaunchAttribute attributes[2] = {};
  unsigned count = 0;
  if (start.dependent) {
    attributes[count].id = CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION;
    attributes[count++].value.programmaticStreamSerializationAllowed = 1;
  }
  if (start.together) {
    attributes[count].id = CU_LAUNCH_ATTRIBUTE_COOPERATIVE;
    attributes[count++].value.cooperative = 1;
  }
  CUlaunchConfig config = {};
  config.gridDimX = static_cast<unsigned>(start.shape.blocks);
  config.blockDimX = static_cast<unsigned>(start.shape.threads);
  config.gridDimY = config.gridDimZ = config.blockDimY = config.blockDimZ = 1;
  config.sharedMemBytes = static_cast<unsigned>(start.shape.smem);
  config.hStream = stream;
  config.attrs = attributes;
  config.numAttrs = count;
  // The runtime's way to the same call takes 0.1 to 0.8 us more.
  const CUresult result = driver().launch(&config, start.function, start.shape.arguments, nullptr);
  if (start.together && result == CUDA_ERROR_COOPERATIVE_LAUNCH_TOO_LARGE) return false;
  check(static_cast<cudaError_t>(result), "the launch of a kernel");  // the numbers are the same
  return true;
}

const KernelSetup::Found& KernelSetup::find(const void* kernel, const LaunchShape& shape,
                                            uint64_t context) {
  cudaFuncAttributes facts;
  check(cudaFuncGetAttributes(&facts, kernel), "cudaFuncGetAttributes");
  const bool dependent = facts.ptxVersion >= kFirstDependent;  // the code waits for itself
  const bool alone = dependent && shape.smem > 0;
  const int smem = alone ? std::max(shape.smem, more_than_half()) : shape.smem;
  if (smem > 0)  // more than 48 KB only where it is asked for
    check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, smem),
          "cudaFuncSetAttribute");
  // The driver would have to look up the function of a kernel at every launch.
  cudaFunction_t function = nullptr;
  check(cudaGetFuncBySymbol(&function, kernel), "cudaGetFuncBySymbol");
  Found* found =
      new Found{context, function, smem, dependent, found_.load(std::memory_order_acquire)};
  while (!found_.compare_exchange_weak(found->next, found, std::memory_order_acq_rel)) {
  }
  return *found;
}

Start KernelSetup::start(const void* kernel, const LaunchShape& shape) {
  return start(kernel, shape, current_context_id());
}

Start KernelSetup::start(const void* kernel, const LaunchShape& shape, uint64_t context) {
  const Found* found = found_.load(std::memory_order_acquire);
  while (found != nullptr && found->context != context)
    found = found->next;
  if (found == nullptr) found = &find(kernel, shape, context);
  Start start = {found->function, shape, found->dependent, false, false};
  start.shape.smem = found->smem;
  return start;
}

}  // namespace flashdec::cuda
