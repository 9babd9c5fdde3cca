// Merged sums into the outputs.
#pragma once

#include "core/softmax_state.h"
#include "cuda/device/tensor_core.cuh"
#include "cuda/tensor/params.h"

namespace flashdec::cuda {

// As rescale_factor, by the fast exponential.
__device__ inline float merge_factor(float from, float to) {
  return from == to ? 1.0f : exp2_fast(from - to);
}

template <class E>
__device__ inline void store_quad(E* target, float4 v) {
  *reinterpret_cast<uint2*>(target) = make_uint2(pack<E>(v.x, v.y), pack<E>(v.z, v.w));
}

template <class E>
__device__ inline E* output_row(const EvenParams& p, int sequence, int head) {
  return static_cast<E*>(p.o) + sequence * p.o_stride_batch + head * p.o_stride_head;
}

__device__ inline void store_lse(const EvenParams& p, int sequence, int head, SoftmaxState state) {
  if (p.lse != nullptr)
    p.lse[sequence * p.lse_stride_batch + head * p.lse_stride_head] = state_lse(state, p.lse_base2);
}

template <class E>
__device__ inline void store_normalised(const EvenParams& p, int sequence, int head, int column,
                                        float4 o, SoftmaxState state) {
  const float inverse = reciprocal_fast(state.l);
  // A zero is +0, however many empty states it was added to.
  store_quad(output_row<E>(p, sequence, head) + column,
             {fmaf(o.x, inverse, 0.0f), fmaf(o.y, inverse, 0.0f), fmaf(o.z, inverse, 0.0f),
              fmaf(o.w, inverse, 0.0f)});
  if (column == 0) store_lse(p, sequence, head, state);
}

}  // namespace flashdec::cuda
