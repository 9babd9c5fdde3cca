// Division of 31-bit numbers by one that the host knows, without a division on the device.
// Granlund and Montgomery, "Division by invariant integers using multiplication", 1994.
#pragma once

#include <cstdint>

#include "core/inline.h"

namespace flashdec::cuda {

// Of 1 <= n < 2^31.
FLASHDEC_INLINE int ceil_log2(int n) {
#ifdef __CUDA_ARCH__
  return 32 - __clz(n - 1);
#else
  return n > 1 ? 32 - __builtin_clz(static_cast<unsigned>(n - 1)) : 0;
#endif
}

struct Divisor {
  uint32_t value;
  uint32_t factor;
  uint32_t shift;

  // n < 2^31.
  FLASHDEC_MEMBER int divide(int n) const {
    const uint32_t unsigned_n = static_cast<uint32_t>(n);
    const uint32_t high = static_cast<uint32_t>(uint64_t{factor} * unsigned_n >> 32);
    return static_cast<int>((high + unsigned_n) >> shift);
  }
};

// 1 <= value < 2^31.
inline Divisor make_divisor(int64_t value) {
  const auto shift = static_cast<uint32_t>(ceil_log2(static_cast<int>(value)));
  const uint64_t over = (uint64_t{1} << shift) - static_cast<uint64_t>(value);
  const uint64_t factor = (over << 32) / static_cast<uint64_t>(value) + 1;
  return {static_cast<uint32_t>(value), static_cast<uint32_t>(factor), shift};
}

}  // namespace flashdec::cuda
