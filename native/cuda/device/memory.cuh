// Words in memory that others read while they are written, each for itself (PTX ISA, "ld", "st"),
// and in shared memory.
#pragma once

#include <cstdint>

namespace flashdec::cuda {

__device__ inline void store_relaxed(uint4* target, uint4 value) {
  asm volatile("st.relaxed.gpu.global.v4.b32 [%0], {%1, %2, %3, %4};"
               :
               : "l"(target), "r"(value.x), "r"(value.y), "r"(value.z), "r"(value.w)
               : "memory");
}
__device__ inline void store_relaxed(uint2* target, uint2 value) {
  asm volatile("st.relaxed.gpu.global.v2.b32 [%0], {%1, %2};"
               :
               : "l"(target), "r"(value.x), "r"(value.y)
               : "memory");
}

__device__ inline uint4 load_relaxed(const uint4* source) {
  uint4 value;
  asm volatile("ld.relaxed.gpu.global.v4.b32 {%0, %1, %2, %3}, [%4];"
               : "=r"(value.x), "=r"(value.y), "=r"(value.z), "=r"(value.w)
               : "l"(source)
               : "memory");
  return value;
}
__device__ inline uint2 load_relaxed(const uint2* source) {
  uint2 value;
  asm volatile("ld.relaxed.gpu.global.v2.b32 {%0, %1}, [%2];"
               : "=r"(value.x), "=r"(value.y)
               : "l"(source)
               : "memory");
  return value;
}

__device__ inline uint32_t load_relaxed(const uint32_t* source) {
  uint32_t value;
  asm volatile("ld.relaxed.gpu.global.b32 %0, [%1];" : "=r"(value) : "l"(source) : "memory");
  return value;
}
__device__ inline void store_relaxed(uint32_t* target, uint32_t value) {
  asm volatile("st.relaxed.gpu.global.b32 [%0], %1;" ::"l"(target), "r"(value) : "memory");
}
// What was there before.
__device__ inline uint32_t fetch_add(uint32_t* target, uint32_t value) {
  uint32_t before;
  asm volatile("atom.relaxed.gpu.global.add.u32 %0, [%1], %2;"
               : "=r"(before)
               : "l"(target), "r"(value)
               : "memory");
  return before;
}
__device__ inline uint32_t exchange(uint32_t* target, uint32_t value) {
  uint32_t before;
  asm volatile("atom.relaxed.gpu.global.exch.b32 %0, [%1], %2;"
               : "=r"(before)
               : "l"(target), "r"(value)
               : "memory");
  return before;
}
// Others who see what comes after it see what came before it.
__device__ inline void fence() {
  asm volatile("fence.acq_rel.gpu;" ::: "memory");
}
__device__ inline void add_relaxed(uint32_t* target, uint32_t value) {
  asm volatile("red.relaxed.gpu.global.add.u32 [%0], %1;" ::"l"(target), "r"(value) : "memory");
}

// Brings a line to L2, where whoever writes to it later writes, too: so this may come before the
// end of the kernel that does.
__device__ inline void prefetch(const void* source) {
  asm volatile("prefetch.global.L2 [%0];" ::"l"(source));
}

// What the launch gave the block.
__device__ inline char* shared_memory() {
  extern __shared__ char memory[];
  return memory;
}

__device__ inline uint32_t shared_address(const void* pointer) {
  return static_cast<uint32_t>(__cvta_generic_to_shared(pointer));
}

// 16 zero bytes.
__device__ inline void clear_shared(uint32_t target) {
  asm volatile("st.shared.v4.b32 [%0], {%1, %1, %1, %1};" ::"r"(target), "r"(0) : "memory");
}

}  // namespace flashdec::cuda
