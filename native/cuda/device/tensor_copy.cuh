// Tensor copies of sm_90 (PTX ISA, "cp.async.bulk.tensor"), and what goes with them.
#pragma once

#include <cuda.h>

#include <cstdint>

namespace flashdec::cuda {

// A box of a 5-D tensor into shared memory; its bytes arrive at the barrier.
__device__ inline void start_copy(uint32_t target, const CUtensorMap& map, uint32_t barrier,
                                  int column, int token, int head, int block, uint64_t policy) {
  asm volatile(
      "cp.async.bulk.tensor.5d.shared::cluster.global.tile.mbarrier::complete_tx::bytes"
      ".L2::cache_hint [%0], [%1, {%3, %4, %5, %6, %7}], [%2], %8;"
      :
      : "r"(target), "l"(&map), "r"(barrier), "r"(column), "r"(token), "r"(0), "r"(head),
        "r"(block), "l"(policy)
      : "memory");
}

__device__ inline void fetch_map(const CUtensorMap& map) {
  asm volatile("prefetch.tensormap [%0];" ::"l"(&map) : "memory");
}

// Barriers that have been initialised are such for the copies, too.
__device__ inline void fence_barriers() {
  asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
}

// What was written to shared memory comes before the copies that follow.
__device__ inline void fence_copies() {
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
}

// Whether lines that were read stay in L2 like others, or make way for them.
__device__ inline uint64_t cache_policy(bool keeps) {
  uint64_t policy;
  if (keeps) {
    asm("createpolicy.fractional.L2::evict_normal.b64 %0, 1.0;" : "=l"(policy));
  } else {
    asm("createpolicy.fractional.L2::evict_first.b64 %0, 1.0;" : "=l"(policy));
  }
  return policy;
}

// True in one lane of the warp, and the compiler knows that it is one.
__device__ inline bool elect_lane() {
  uint32_t elected;
  asm volatile(
      "{\n"
      ".reg .pred one;\n"
      "elect.sync _|one, 0xffffffff;\n"
      "selp.b32 %0, 1, 0, one;\n"
      "}"
      : "=r"(elected));
  return elected != 0;
}

}  // namespace flashdec::cuda
