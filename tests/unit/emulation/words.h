// The words of CUDA C++, for a host compiler: included before anything else.
#pragma once

#include <algorithm>
#include <climits>
#include <cmath>
#include <cstdint>
#include <cstring>

#include "grid.h"

#define __device__
#define __host__
#define __global__
#define __grid_constant__
#define __launch_bounds__(...)
#define __noinline__ __attribute__((noinline))
#define threadIdx emulation::thread
#define blockIdx emulation::block
#define gridDim emulation::grid
#define blockDim emulation::block_size

struct uint2 {
  uint32_t x, y;
};
struct uint4 {
  uint32_t x, y, z, w;
};
struct alignas(16) float4 {
  float x, y, z, w;
};

namespace flashdec::cuda {

using std::max;
using std::min;

inline uint2 make_uint2(uint32_t x, uint32_t y) {
  return {x, y};
}
inline uint4 make_uint4(uint32_t x, uint32_t y, uint32_t z, uint32_t w) {
  return {x, y, z, w};
}

inline int __clz(int value) {
  return value == 0 ? 32 : __builtin_clz(static_cast<unsigned>(value));
}
inline int __ffs(int value) {
  return __builtin_ffs(value);
}
inline uint32_t __float_as_uint(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, 4);
  return bits;
}
inline float __uint_as_float(uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, 4);
  return value;
}
inline float __fdividef(float a, float b) {
  return a / b;
}
inline uint32_t atomicOr(uint32_t* target, uint32_t bits) {
  const uint32_t before = *target;
  *target |= bits;
  return before;
}

inline void __syncwarp() {
  emulation::bring("__syncwarp", 0);
}
template <class T>
T __shfl_sync(unsigned, T value, int lane) {
  return emulation::bring("__shfl_sync", value)[lane & 31];
}
template <class T>
T __shfl_up_sync(unsigned, T value, int distance) {
  const int from = emulation::this_lane() - distance;
  const T* all = emulation::bring("__shfl_up_sync", value);
  return from >= 0 ? all[from] : value;
}
template <class T>
T __shfl_down_sync(unsigned, T value, int distance) {
  const int from = emulation::this_lane() + distance;
  const T* all = emulation::bring("__shfl_down_sync", value);
  return from < emulation::kLanes ? all[from] : value;
}
template <class T>
T __shfl_xor_sync(unsigned, T value, int mask) {
  return emulation::bring("__shfl_xor_sync", value)[emulation::this_lane() ^ mask];
}
inline unsigned __ballot_sync(unsigned, bool value) {
  const bool* all = emulation::bring("__ballot_sync", value);
  unsigned bits = 0;
  for (int lane = 0; lane < emulation::kLanes; ++lane)
    bits |= static_cast<unsigned>(all[lane]) << lane;
  return bits;
}
inline bool __any_sync(unsigned mask, bool value) {
  return __ballot_sync(mask, value) != 0;
}
inline bool __all_sync(unsigned mask, bool value) {
  return !__any_sync(mask, !value);
}
template <class Fold>
int fold_lanes(const char* kind, int value, const Fold& fold) {
  const int* all = emulation::bring(kind, value);
  int sum = all[0];
  for (int lane = 1; lane < emulation::kLanes; ++lane)
    sum = fold(sum, all[lane]);
  return sum;
}
inline int __reduce_min_sync(unsigned, int value) {
  return fold_lanes("__reduce_min_sync", value, [](int a, int b) { return std::min(a, b); });
}
inline int __reduce_max_sync(unsigned, int value) {
  return fold_lanes("__reduce_max_sync", value, [](int a, int b) { return std::max(a, b); });
}
inline int __reduce_add_sync(unsigned, int value) {
  return fold_lanes("__reduce_add_sync", value, [](int a, int b) { return a + b; });
}

}  // namespace flashdec::cuda
