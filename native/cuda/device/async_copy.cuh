// Copies of 16 bytes a lane into shared memory, in groups (PTX ISA, "cp.async").
#pragma once

#include <cstdint>

namespace flashdec::cuda {

// The first `bytes` of 16; the rest become zeros.
__device__ inline void copy_chunk(uint32_t target, const char* source, int bytes) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(target), "l"(source),
               "r"(bytes)
               : "memory");
}

// 4 bytes, in no group.
__device__ inline void copy_word(uint32_t target, const void* source) {
  asm volatile("cp.async.ca.shared.global [%0], [%1], 4;" ::"r"(target),
               "l"(__cvta_generic_to_global(source))
               : "memory");
}

// All that this thread has asked for is there.
__device__ inline void wait_for_words() {
  asm volatile("cp.async.wait_all;" ::: "memory");
}

// What was asked for since the last time is a group.
__device__ inline void commit_copies() {
  asm volatile("cp.async.commit_group;" ::: "memory");
}

// All groups of this thread but the last one are there.
__device__ inline void wait_for_copies() {
  asm volatile("cp.async.wait_group 1;" ::: "memory");
}

}  // namespace flashdec::cuda
