// A warp, and the block that it belongs to.
#pragma once

namespace flashdec::cuda {

constexpr unsigned kAllLanes = 0xffffffffu;

// The same value, of which the compiler knows nothing.
__device__ inline int opaque(int value) {
  asm volatile("" : "+r"(value));
  return value;
}

// Of this lane and all before it.
__device__ inline int sum_up_to_lane(int value) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
#pragma unroll
  for (int distance = 1; distance < 32; distance *= 2) {
    const int other = __shfl_up_sync(kAllLanes, value, distance);
    if (lane >= distance) value += other;
  }
  return value;
}

// Of the block; a power of two.
__device__ inline int threads_log() {
  return 31 - __clz(static_cast<int>(blockDim.x));
}

}  // namespace flashdec::cuda
