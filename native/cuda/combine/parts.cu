// The second launch, where parts of units are not exchanged within the first: one block for each
// part reads its share of the columns, as the split kernel's own blocks do in one launch.

#include "core/plan.h"
#include "core/status.h"
#include "cuda/combine/combine.h"
#include "cuda/enqueue.h"
#include "cuda/tensor/even.cuh"
#include "cuda/tensor/split.cuh"

namespace flashdec::cuda {
namespace {

template <class E>
__global__ void __launch_bounds__(kReducers) combine_slots(const __grid_constant__ TensorParams p) {
  wait_for_previous();
  const CutRecord record = p.records[blockIdx.x];
  const bool restore = p.restores;
  reduce_record<E>(p, record, blockIdx.x / 2, {false, restore});
  if (!restore) return;
  __syncthreads();
  int32_t* words = reinterpret_cast<int32_t*>(p.records + blockIdx.x);
  if (threadIdx.x < sizeof(CutRecord) / 4) words[threadIdx.x] = -1;
}

template <class E>
__global__ void __launch_bounds__(kReducers)
    combine_cut(const __grid_constant__ EvenParams p, bool restore) {
  const Even even = even_of(p);
  wait_for_previous();
  reduce_cut<E>(p, even, p.shares, {false, restore});
}

template <class E>
__global__ void __launch_bounds__(kReducers) combine_nodes(const __grid_constant__ TensorParams p) {
  wait_for_previous();
  const Dealer dealer = {p};
  const Survey survey = dealer.survey();
  reduce_tree<E>(p, survey, dealer.fold_level(survey), {false, p.restores});
}

bool is_half(const Launch& launch) {
  return launch.plan.problem.element == FLASHDEC_FLOAT16;
}

}  // namespace

void combine_parts(const Launch& launch, const TensorParams& params, int threads) {
  static KernelSetup setups[2];
  const bool half = is_half(launch);
  const void* kernel = half ? reinterpret_cast<const void*>(combine_slots<__half>)
                            : reinterpret_cast<const void*>(combine_slots<__nv_bfloat16>);
  void* arguments[] = {const_cast<TensorParams*>(&params)};
  const int64_t blocks = 2 * launch.plan.schedule.grid;
  enqueue(setups[half].start(kernel, {blocks, threads, 0, arguments}), launch.stream);
}

void combine_tree(const Launch& launch, const TensorParams& params) {
  static KernelSetup setups[2];
  const bool half = is_half(launch);
  const void* kernel = half ? reinterpret_cast<const void*>(combine_nodes<__half>)
                            : reinterpret_cast<const void*>(combine_nodes<__nv_bfloat16>);
  void* arguments[] = {const_cast<TensorParams*>(&params)};
  enqueue(setups[half].start(kernel, {launch.plan.schedule.grid, kReducers, 0, arguments}),
          launch.stream);
}

void combine_even(const Launch& launch, const EvenParams& params, int threads) {
  static KernelSetup setups[2];
  const bool half = is_half(launch);
  const void* kernel = half ? reinterpret_cast<const void*>(combine_cut<__half>)
                            : reinterpret_cast<const void*>(combine_cut<__nv_bfloat16>);
  bool restore = launch.operands.prepared_workspace;
  void* arguments[] = {const_cast<EvenParams*>(&params), &restore};
  enqueue(setups[half].start(kernel, {params.cut_blocks, threads, 0, arguments}), launch.stream);
}

}  // namespace flashdec::cuda
