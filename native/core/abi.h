// Reads a caller's struct of any known size into ours, and writes ours into a caller's.
#pragma once

#include <cstdint>
#include <cstring>

#include "core/status.h"

namespace flashdec {

// `newest` is the size this library knows, `oldest` the least that was ever published.
void read_struct(const void* source, uint32_t oldest, uint32_t newest, const char* name,
                 void* target);
void write_struct(const void* source, uint32_t oldest, uint32_t newest, const char* name,
                  void* target);

// Every struct is at its first published size in ABI version 0.
template <class T>
T read_struct(const T* source, const char* name) {
  T result;
  read_struct(source, sizeof(T), sizeof(T), name, &result);
  return result;
}

template <class T>
void write_struct(const T& source, T* target, const char* name) {
  write_struct(&source, sizeof(T), sizeof(T), name, target);
}

template <class T>
T* require(T* pointer, const char* name) {
  if (pointer == nullptr) refuse(FLASHDEC_NULL_POINTER, "%s is NULL; it is required", name);
  return pointer;
}

}  // namespace flashdec
