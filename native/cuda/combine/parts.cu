// The second launch, where parts and nodes of units are not exchanged within the first: it reads as
// the split kernel's own blocks do in one launch.

#include "core/plan.h"
#include "core/status.h"
#include "cuda/combine/combine.h"
#include "cuda/enqueue.h"
#include "cuda/tensor/kernels.cuh"

namespace flashdec::cuda {
namespace {

template <class E>
__global__ void __launch_bounds__(kThreads)
    even_parts(const __grid_constant__ EvenParams p, bool restore) {
  const Even even(p);
  wait_for_previous();
  reduce_cut<E>(p, even, p.shares, {false, restore, false}, false);  // a block for each part
}

template <class E>
__global__ void __launch_bounds__(kThreads) parts_or_nodes(const __grid_constant__ TensorParams p) {
  wait_for_previous();
  const Lengths lengths(p);
  const Survey found = survey(lengths, Quanta(p), lengths.ask());
  const Receiver receive = {false, p.restores, false};
  if (p.fixed) return reduce_tree<E>(Splits(p, found), receive, false);
  Even even(p);
  if (found.common > 0) even.take_length(p, found.common);
  reduce_either<E>(Spans(p, found), even, are_even(p, found, even), receive);
}

bool is_half(const Launch& launch) {
  return launch.plan.problem.element == FLASHDEC_FLOAT16;
}

}  // namespace

void combine_even(const Launch& launch, const EvenParams& params, uint64_t context) {
  static KernelSetup setups[2];
  const bool half = is_half(launch);
  const void* kernel = half ? reinterpret_cast<const void*>(even_parts<__half>)
                            : reinterpret_cast<const void*>(even_parts<__nv_bfloat16>);
  bool restore = launch.operands.prepared_workspace;
  void* arguments[] = {const_cast<EvenParams*>(&params), &restore};
  enqueue(setups[half].start(kernel, {params.cut_blocks, kThreads, 0, arguments}, context),
          launch.stream);
}

void combine_any(const Launch& launch, const TensorParams& params, uint64_t context) {
  static KernelSetup setups[2];
  const bool half = is_half(launch);
  const void* kernel = half ? reinterpret_cast<const void*>(parts_or_nodes<__half>)
                            : reinterpret_cast<const void*>(parts_or_nodes<__nv_bfloat16>);
  void* arguments[] = {const_cast<TensorParams*>(&params)};
  enqueue(setups[half].start(kernel, {launch.plan.schedule.grid, kThreads, 0, arguments}, context),
          launch.stream);
}

}  // namespace flashdec::cuda
