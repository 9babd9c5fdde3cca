// Words that others read while they are written, and shared memory.
#pragma once

#include <utility>

#include "words.h"

namespace flashdec::cuda {

template <class T>
void store_relaxed(T* target, T value) {
  emulation::needs_kernel_before();
  *target = value;
  emulation::has_stored();
}
template <class T>
T load_relaxed(const T* source) {
  emulation::needs_kernel_before();
  emulation::before_load(source, source->x == 0xffffffffu);  // polls until it is not
  return *source;
}

inline uint32_t load_relaxed(const uint32_t* source) {
  emulation::let_others_run();
  return *source;
}
inline void store_relaxed(uint32_t* target, uint32_t value) {
  *target = value;
  emulation::has_stored();
}
inline uint32_t fetch_add(uint32_t* target, uint32_t value) {
  emulation::needs_kernel_before();
  emulation::before_count();
  const uint32_t before = *target;
  *target += value;
  emulation::has_stored();
  return before;
}
inline uint32_t exchange(uint32_t* target, uint32_t value) {
  emulation::has_stored();
  return std::exchange(*target, value);
}
inline void fence() {}
inline void add_relaxed(uint32_t* target, uint32_t value) {
  *target += value;
}

inline void prefetch(const void*) {}

inline char* shared_memory() {
  return emulation::shared_begin();
}
inline uint32_t shared_address(const void* pointer) {
  return emulation::address_of(pointer);
}
inline void clear_shared(uint32_t target) {
  std::memset(emulation::shared_at(target, 16), 0, 16);
}

}  // namespace flashdec::cuda
