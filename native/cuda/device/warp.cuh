// A warp, and the block that it belongs to.
#pragma once

namespace flashdec::cuda {

constexpr unsigned kAllLanes = 0xffffffffu;

// The same value, of which the compiler knows nothing.
__device__ inline int opaque(int value) {
  asm volatile("" : "+r"(value));
  return value;
}

// Of the block; a power of two.
__device__ inline int threads_log() {
  return 31 - __clz(static_cast<int>(blockDim.x));
}

}  // namespace flashdec::cuda
