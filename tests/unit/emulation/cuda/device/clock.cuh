// A clock on which a step takes a while.
#pragma once

#include "words.h"

namespace flashdec::cuda {

inline uint32_t clocks() {
  static uint32_t now = 0;
  return now += 1000;
}
inline uint32_t stalls = 0;
inline int longest_stall = 0;

inline void stall(int duration) {
  ++stalls;
  longest_stall = std::max(longest_stall, duration);
  emulation::let_others_run();
}

}  // namespace flashdec::cuda
