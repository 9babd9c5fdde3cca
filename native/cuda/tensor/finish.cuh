// From the registers of the warps to one result: each warp leaves its sums in shared memory, and
// other threads, at the last meeting all, merge them in the order of the warps.
#pragma once

#include "cuda/tensor/attend.cuh"
#include "cuda/tensor/output.cuh"

namespace flashdec::cuda {

// One of the threads that share some work: half a block's, or all of them.
struct Worker {
  int number;
  int of;
};

template <class E, class Shape>
struct Merge {
  using Warp = Attention<E, Shape>;

  float* values;         // [kWarps][kHeads][kMergeStride]
  SoftmaxState* states;  // [kWarps][kHeads]

  __device__ explicit Merge(char* memory)
      : values(reinterpret_cast<float*>(memory)),
        states(reinterpret_cast<SoftmaxState*>(values + Shape::kWarps * Shape::kHeads *
                                                            Shape::kMergeStride)) {}

  __device__ float* row(int warp, int head) const {
    return values + (warp * Shape::kHeads + head) * Shape::kMergeStride;
  }

  // Writes the registers of a warp to its rows; with kAdd adds them to what is there, times `keep`.
  template <bool kAdd>
  __device__ void leave(const Warp& from, const float (&keep)[Shape::kHeadTiles][2],
                        int heads) const {
    const int lane = threadIdx.x % 32;
#pragma unroll
    for (int t = 0; t < Shape::kHeadTiles; ++t)
#pragma unroll
      for (int h = 0; h < 2; ++h) {
        const int head = 8 * t + 2 * (lane % 4) + h;
        if (head >= heads) continue;
        float* target = row(threadIdx.x / 32, head) + lane / 4;
#pragma unroll
        for (int step = 0; step < Warp::kSteps; ++step)
#pragma unroll
          for (int half = 0; half < 2; ++half) {
            float* cell = target + 16 * step + 8 * half;
            const float o = from.o[t][step][2 * half + h];
            *cell = kAdd ? fmaf(*cell, keep[t][h], o) : o;
          }
      }
  }

  __device__ void leave_states(const Warp& from, const float (&l)[Shape::kHeadTiles][2]) const {
    const int lane = threadIdx.x % 32;
#pragma unroll
    for (int t = 0; t < Shape::kHeadTiles; ++t)
#pragma unroll
      for (int h = 0; h < 2; ++h) {
        float sum = l[t][h];
#pragma unroll
        for (int distance = 4; distance < 32; distance *= 2)
          sum += __shfl_xor_sync(kAllLanes, sum, distance);
        if (lane < 4)
          states[threadIdx.x / 32 * Shape::kHeads + 8 * t + 2 * lane + h] = {from.m[t][h], sum};
      }
  }

  // (m, l) of a head over the warps, and the factor of each.
  __device__ SoftmaxState merge(int head, float (&factors)[Shape::kWarps]) const {
    SoftmaxState of[Shape::kWarps];
    SoftmaxState merged = {-INFINITY, 0.0f};
#pragma unroll
    for (int w = 0; w < Shape::kWarps; ++w) {
      of[w] = states[w * Shape::kHeads + head];
      merged.m = fmaxf(merged.m, of[w].m);
    }
#pragma unroll
    for (int w = 0; w < Shape::kWarps; ++w) {
      factors[w] = merge_factor(of[w].m, merged.m);
      merged.l = fmaf(of[w].l, factors[w], merged.l);
    }
    return merged;
  }

  // Four neighbouring columns of a head over the warps.
  __device__ float4 quad(int head, int column, const float (&factors)[Shape::kWarps]) const {
    float4 sum = {0.0f, 0.0f, 0.0f, 0.0f};
#pragma unroll
    for (int w = 0; w < Shape::kWarps; ++w) {
      const float4 o = *reinterpret_cast<const float4*>(row(w, head) + column);
      sum.x = fmaf(o.x, factors[w], sum.x);
      sum.y = fmaf(o.y, factors[w], sum.y);
      sum.z = fmaf(o.z, factors[w], sum.z);
      sum.w = fmaf(o.w, factors[w], sum.w);
    }
    return sum;
  }

  // Calls put(head, column, o, state) for every four columns of every head that are this thread's.
  template <class Put>
  __device__ void for_each_quad(const EvenParams& p, int heads, const Worker& worker,
                                const Put& put) const {
    const Divisor& lanes = worker.of == kThreads ? p.block_lanes : p.half_lanes;
    const int head = lanes.divide(worker.number);
    if (head >= heads) return;
    float factors[Shape::kWarps];
    const SoftmaxState state = merge(head, factors);
    const int stride = 4 * static_cast<int>(lanes.value);
    const int end = 4 * static_cast<int>(p.row_quads.value);
#pragma unroll 1
    for (int column = 4 * worker.number - head * stride; column < end; column += stride)
      put(head, column, quad(head, column, factors), state);
  }
};

}  // namespace flashdec::cuda
