// Barriers.
#pragma once

#include "words.h"

namespace flashdec::cuda {

template <int kThreads>
void meet_all() {
  emulation::meet_block();
}
inline void init_barrier(uint32_t barrier, uint32_t arrivals) {
  emulation::init_barrier(barrier, arrivals);
}
inline void arrive(uint32_t barrier) {
  emulation::arrive_at(barrier);
}
inline void expect_bytes(uint32_t barrier, uint32_t bytes) {
  emulation::expect_bytes(barrier, bytes);
}
inline bool has_completed(uint32_t barrier, uint32_t parity) {
  return emulation::has_completed(barrier, parity);
}
inline void wait_barrier(uint32_t barrier, uint32_t parity) {
  emulation::wait_for_phase(barrier, parity);
}

}  // namespace flashdec::cuda
