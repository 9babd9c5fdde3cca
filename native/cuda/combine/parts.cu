// The second launch, where parts of units are not exchanged within the first: one block for each
// part reads its share of the columns, as the split kernel's own blocks do in one launch.

#include "core/plan.h"
#include "core/status.h"
#include "cuda/combine/combine.h"
#include "cuda/launch.h"
#include "cuda/tensor/even.cuh"
#include "cuda/tensor/split.cuh"

namespace flashdec::cuda {
namespace {

template <class E>
__global__ void __launch_bounds__(kReducers) combine_slots(const __grid_constant__ TensorParams p) {
  extern __shared__ SoftmaxState scratch[];
  const CutRecord record = p.records[blockIdx.x];
  const bool restore = p.restores;
  reduce_record<E>(p, record, blockIdx.x / 2, {false, restore}, scratch);
  if (!restore) return;
  __syncthreads();
  int32_t* words = reinterpret_cast<int32_t*>(p.records + blockIdx.x);
  if (threadIdx.x < sizeof(CutRecord) / 4) words[threadIdx.x] = -1;
}

// (m, l) of every part and of the heads that a reader sees: half of them, two more, or all.
size_t scratch_bytes(const Launch& launch) {
  const Schedule& schedule = launch.plan.schedule;
  return static_cast<size_t>(2 * schedule.grid + 2 * schedule.heads) * sizeof(SoftmaxState);
}

template <class E>
__global__ void __launch_bounds__(kReducers)
    combine_cut(const __grid_constant__ EvenParams p, bool restore) {
  extern __shared__ SoftmaxState scratch[];
  reduce_cut<E>(p, {false, restore}, scratch);
}

void enqueue(const Launch& launch, const void* kernel, int64_t blocks, void** arguments) {
  check(cudaLaunchKernel(kernel, dim3(static_cast<unsigned>(blocks)), dim3(kReducers), arguments,
                         scratch_bytes(launch), launch.stream),
        "the launch of the combine");
}

bool is_half(const Launch& launch) {
  return launch.plan.problem.element == FLASHDEC_FLOAT16;
}

}  // namespace

void combine_parts(const Launch& launch, const TensorParams& params) {
  const void* kernel = is_half(launch)
                           ? reinterpret_cast<const void*>(combine_slots<__half>)
                           : reinterpret_cast<const void*>(combine_slots<__nv_bfloat16>);
  void* arguments[] = {const_cast<TensorParams*>(&params)};
  enqueue(launch, kernel, 2 * launch.plan.schedule.grid, arguments);
}

void combine_even(const Launch& launch, const EvenParams& params) {
  const void* kernel = is_half(launch) ? reinterpret_cast<const void*>(combine_cut<__half>)
                                       : reinterpret_cast<const void*>(combine_cut<__nv_bfloat16>);
  bool restore = launch.operands.prepared_workspace;
  void* arguments[] = {const_cast<EvenParams*>(&params), &restore};
  enqueue(launch, kernel, params.cut_blocks, arguments);
}

}  // namespace flashdec::cuda
