// Where results go: the outputs, or the partial results of a split.  `P` is any parameter block
// with the validated operands as `x`.
#pragma once

#include "core/softmax_state.h"
#include "cuda/device/element.cuh"
#include "cuda/params.h"

namespace flashdec::cuda {

template <class E, class P>
__device__ inline E* output_row(const P& p, int64_t sequence, int64_t head) {
  return static_cast<E*>(p.x.o) + sequence * p.x.o_strides.batch + head * p.x.o_strides.head;
}

template <class P>
__device__ inline void store_lse(const P& p, int64_t sequence, int64_t head, SoftmaxState state) {
  if (p.x.lse != nullptr)
    p.x.lse[sequence * p.x.lse_stride_batch + head * p.x.lse_stride_head] =
        state_lse(state, p.x.lse_base2);
}

__device__ inline int64_t part_index(const Params& p, int64_t sequence, int64_t head,
                                     int64_t split) {
  return (sequence * p.problem.q_heads + head) * p.schedule.max_splits + split;
}

}  // namespace flashdec::cuda
