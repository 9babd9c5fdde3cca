// Barriers: of a block (PTX ISA, "barrier"), and in shared memory, on which tensor copies complete
// and warps meet ("mbarrier").
#pragma once

#include <cstdint>

namespace flashdec::cuda {

// All threads of the block.
template <int kThreads>
__device__ inline void meet_all() {
  asm volatile("barrier.sync 1, %0;" ::"n"(kThreads) : "memory");
}

__device__ inline void init_barrier(uint32_t barrier, uint32_t arrivals) {
  asm volatile("mbarrier.init.shared.b64 [%0], %1;" ::"r"(barrier), "r"(arrivals) : "memory");
}

__device__ inline void arrive(uint32_t barrier) {
  asm volatile("mbarrier.arrive.shared.b64 _, [%0];" ::"r"(barrier) : "memory");
}

__device__ inline void expect_bytes(uint32_t barrier, uint32_t bytes) {
  asm volatile("mbarrier.arrive.expect_tx.shared.b64 _, [%0], %1;" ::"r"(barrier), "r"(bytes)
               : "memory");
}

__device__ inline bool has_completed(uint32_t barrier, uint32_t parity) {
  uint32_t done = 0;
  asm volatile(
      "{\n"
      ".reg .pred complete;\n"
      "mbarrier.test_wait.parity.shared.b64 complete, [%1], %2;\n"
      "selp.b32 %0, 1, 0, complete;\n"
      "}"
      : "=r"(done)
      : "r"(barrier), "r"(parity)
      : "memory");
  return done != 0;
}

__device__ inline void wait_barrier(uint32_t barrier, uint32_t parity) {
  uint32_t done = 0;
  while (true) {
    asm volatile(
        "{\n"
        ".reg .pred complete;\n"
#if __CUDA_ARCH__ >= 900
        "mbarrier.try_wait.parity.shared.b64 complete, [%1], %2;\n"
#else
        "mbarrier.test_wait.parity.shared.b64 complete, [%1], %2;\n"
#endif
        "selp.b32 %0, 1, 0, complete;\n"
        "}"
        : "=r"(done)
        : "r"(barrier), "r"(parity)
        : "memory");
    if (done != 0) return;
#if __CUDA_ARCH__ < 900
    __nanosleep(40);  // test_wait does not wait, and would take the place of others' instructions
#endif
  }
}

}  // namespace flashdec::cuda
