// Checks that several of the validate files make.
#pragma once

#include "core/status.h"

namespace flashdec {

using ll = long long;  // what printf calls an int64_t

inline void check_flags(const char* name, uint32_t flags, uint32_t known) {
  if ((flags & ~known) != 0)
    refuse(FLASHDEC_INVALID_FLAGS, "%s is 0x%x; this library knows the bits 0x%x", name, flags,
           known);
}

inline void check_range(const char* name, int64_t value, int64_t least, int64_t most) {
  if (value < least || value > most)
    refuse(FLASHDEC_INVALID_VALUE, "%s is %lld; it must be %lld to %lld", name, ll(value),
           ll(least), ll(most));
}

void check_dtype(const char* name, uint32_t dtype);

// Without NULL, and a multiple of `alignment`.
void check_pointer(const char* name, const void* pointer, int64_t alignment);

// FLASHDEC_BACKEND_CPU or _CUDA, and which device of it; -1: the CPU.
int32_t checked_device(uint32_t backend, int32_t device);

// An array of rows as a caller gives it; strides in elements.
struct Rows {
  const char* name;
  const void* pointer;
  int64_t size;         // bytes of an element
  const char* axes[3];  // null: none; empty: the only one
  int64_t extents[3];
  int64_t strides[3];
  int64_t row;         // elements
  bool may_step_back;  // along the first axis
};

// A pointer that is there and aligned to its element, and strides within 2^62 bytes.  A stride
// along an axis of one element is never used, so anything goes there.
void check_reach(const Rows& x);

[[noreturn]] void refuse_overlap(const Rows& x);

// Two elements of an output at one address would make its value depend on the order of writes.
inline void check_apart(const Rows& x) {
  int64_t extents[3], strides[3];
  int count = 0;
  for (int axis = 0; axis < 3; ++axis) {  // in the order of their strides
    if (x.extents[axis] <= 1) continue;
    int at = count++;
    for (; at > 0 && strides[at - 1] > x.strides[axis]; --at) {
      extents[at] = extents[at - 1];
      strides[at] = strides[at - 1];
    }
    extents[at] = x.extents[axis];
    strides[at] = x.strides[axis];
  }
  __int128 reach = x.row;
  for (int axis = 0; axis < count; ++axis) {
    if (strides[axis] < reach) refuse_overlap(x);
    reach += static_cast<__int128>(extents[axis] - 1) * strides[axis];
  }
}

}  // namespace flashdec
