#include "core/abi.h"

namespace flashdec {
namespace {

// Far above any struct here: a larger value is an uninitialised struct, not a newer caller.
constexpr uint32_t kLargestPlausible = 4096;

uint32_t checked_size(const void* pointer, uint32_t oldest, const char* name) {
  require(pointer, name);
  if (reinterpret_cast<uintptr_t>(pointer) % alignof(uint64_t) != 0)
    refuse(FLASHDEC_MISALIGNED, "%s is at %p; a struct's address must be a multiple of %zu bytes",
           name, pointer, alignof(uint64_t));
  uint32_t size;
  std::memcpy(&size, pointer, sizeof(size));
  if (size < oldest || size > kLargestPlausible)
    refuse(FLASHDEC_INVALID_STRUCT_SIZE,
           "%s->struct_size is %u; it must be sizeof the struct, %u or a little more", name, size,
           oldest);
  return size;
}

}  // namespace

void read_struct(const void* source, uint32_t oldest, uint32_t newest, const char* name,
                 void* target) {
  const uint32_t size = checked_size(source, oldest, name);
  const auto* bytes = static_cast<const unsigned char*>(source);
  for (uint32_t i = newest; i < size; ++i)
    if (bytes[i] != 0)
      refuse(FLASHDEC_INVALID_STRUCT_SIZE,
             "%s has a field at byte %u that this library, which knows %u bytes, does not; it must "
             "be 0",
             name, i, newest);
  std::memset(target, 0, newest);
  std::memcpy(target, source, size < newest ? size : newest);
}

void write_struct(const void* source, uint32_t oldest, uint32_t newest, const char* name,
                  void* target) {
  const uint32_t size = checked_size(target, oldest, name);
  const uint32_t known = size < newest ? size : newest;
  std::memcpy(target, source, known);
  std::memset(static_cast<unsigned char*>(target) + known, 0, size - known);
  std::memcpy(target, &size, sizeof(size));
}

}  // namespace flashdec
