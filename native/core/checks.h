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

}  // namespace flashdec
