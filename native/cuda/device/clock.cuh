// The clock of a multiprocessor.
#pragma once

#include <cstdint>

namespace flashdec::cuda {

__device__ inline uint32_t clocks() {
  uint32_t now;
  asm volatile("mov.u32 %0, %%clock;" : "=r"(now)::"memory");
  return now;
}

// Spins for so many clocks.
__device__ inline void stall(int duration) {
  const uint32_t begun = clocks();
  while (clocks() - begun < static_cast<uint32_t>(duration)) {
  }
}

}  // namespace flashdec::cuda
