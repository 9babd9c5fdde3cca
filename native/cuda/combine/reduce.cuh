// The sum over parts of one row, in an order fixed by their number.
#pragma once

#include "core/softmax_state.h"
#include "cuda/device/tensor_core.cuh"

namespace flashdec::cuda {

// Four neighbouring columns of a row.
struct Reduced {
  SoftmaxState state;
  float4 o;
};

__device__ inline float sum_lanes(float value, int lanes) {
  for (int distance = 1; distance < lanes; distance *= 2)
    value += __shfl_xor_sync(kAllLanes, value, distance);
  return value;
}

// By `lanes` neighbouring lanes, a power of two: lane i adds the parts i, i + lanes, ... in turn.
// The result is the same in each.  All lanes of the warp make and sum it together.
struct Reduction {
  int lanes;
  float m;
  CompensatedSum l = {0.0f, 0.0f};
  CompensatedSum o[4] = {};

  __device__ Reduction(int parts, int lane, int among, const SoftmaxState* states)
      : lanes(among), m(-INFINITY) {
    for (int part = lane; part < parts; part += lanes)
      m = fmaxf(m, states[part].m);  // drops a NaN, but the factors do not
    for (int distance = 1; distance < lanes; distance *= 2)
      m = fmaxf(m, __shfl_xor_sync(kAllLanes, m, distance));
  }

  __device__ void add_part(SoftmaxState state, float4 quad) {
    const float factor = rescale_factor(state.m, m);
    l = add(l, state.l * factor);
    o[0] = add(o[0], quad.x * factor);
    o[1] = add(o[1], quad.y * factor);
    o[2] = add(o[2], quad.z * factor);
    o[3] = add(o[3], quad.w * factor);
  }

  __device__ Reduced sum() const {
    return {{m, sum_lanes(l.value, lanes)},
            {sum_lanes(o[0].value, lanes), sum_lanes(o[1].value, lanes),
             sum_lanes(o[2].value, lanes), sum_lanes(o[3].value, lanes)}};
  }
};

}  // namespace flashdec::cuda
