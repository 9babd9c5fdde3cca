// The sum over splits of four neighbouring columns of a row, in an order fixed by their number.
#pragma once

#include "core/softmax_state.h"
#include "cuda/device/tensor_core.cuh"

namespace flashdec::cuda {

struct Reduction {
  float m = -INFINITY;
  CompensatedSum l = {0.0f, 0.0f};
  CompensatedSum o[4] = {};

  __device__ void move(float to) {
    const float keep = rescale_factor(m, to);
    m = to;
    l = scale(l, keep);
#pragma unroll
    for (int i = 0; i < 4; ++i)
      o[i] = scale(o[i], keep);
  }

  // m is at least the split's.
  __device__ void add_part(SoftmaxState state, float4 quad) {
    const float factor = rescale_factor(state.m, m);
    l = add(l, state.l * factor);
    o[0] = add(o[0], quad.x * factor);
    o[1] = add(o[1], quad.y * factor);
    o[2] = add(o[2], quad.z * factor);
    o[3] = add(o[3], quad.w * factor);
  }

  // Over `lanes` neighbouring lanes, a power of two; the same in each.  By whole warps.
  __device__ void gather(int lanes) {
    float top = m;
    for (int distance = 1; distance < lanes; distance *= 2)
      top = fmaxf(top, __shfl_xor_sync(kAllLanes, top, distance));
    move(top);
    for (int distance = 1; distance < lanes; distance *= 2) {
      l.value += __shfl_xor_sync(kAllLanes, l.value, distance);
#pragma unroll
      for (int i = 0; i < 4; ++i)
        o[i].value += __shfl_xor_sync(kAllLanes, o[i].value, distance);
    }
  }
};

}  // namespace flashdec::cuda
