// Stands in for the CUDA backend in a build without CUDA.

#include "core/status.h"
#include "cuda/backend.h"

namespace flashdec::cuda {

namespace {

[[noreturn]] void refuse_without_kernels() {
  refuse(FLASHDEC_NO_DEVICE,
         "this build of libflashdecoding.so has no CUDA kernels; build it with FLASHDEC_CUDA=ON "
         "to run on a GPU");
}

}  // namespace

CudaDevice find_device(CUstream_st*, bool required) {
  if (required) refuse_without_kernels();
  return {-1, 0, 0, 0, 0};
}

CudaDevice device_facts(int32_t) {
  refuse_without_kernels();
}

void prepare_workspace(void*, uint64_t, int32_t, CUstream_st*) {}

void append(const Append&, CUstream_st*) {
  refuse_without_kernels();
}

void merge(const Merge&, CUstream_st*) {
  refuse_without_kernels();
}

}  // namespace flashdec::cuda
