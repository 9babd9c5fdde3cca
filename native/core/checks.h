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

// Rows of an output, by batch and head; strides in elements.
struct OutputRows {
  const char* name;
  int64_t batch;
  int64_t heads;
  int64_t stride_batch;
  int64_t stride_head;
  int64_t row;  // elements
};

// Two elements of an output at one address would make its value depend on the order of writes.
inline void check_rows_apart(const OutputRows& x) {
  const bool batch_outside = x.heads == 1 || (x.batch > 1 && x.stride_batch >= x.stride_head);
  const int64_t inner_extent = batch_outside ? x.heads : x.batch;
  const int64_t inner = batch_outside ? x.stride_head : x.stride_batch;
  const int64_t outer_extent = batch_outside ? x.batch : x.heads;
  const int64_t outer = batch_outside ? x.stride_batch : x.stride_head;
  const bool inner_apart = inner_extent == 1 || inner >= x.row;
  const __int128 gaps = inner_extent == 1 ? 0 : static_cast<__int128>(inner_extent - 1) * inner;
  if (inner_apart && (outer_extent == 1 || outer >= gaps + x.row)) return;
  refuse(FLASHDEC_INVALID_STRIDE,
         "%s_stride_batch is %lld and %s_stride_head %lld; rows of %lld elements would overlap, "
         "and an output must have each element to itself",
         x.name, ll(x.stride_batch), x.name, ll(x.stride_head), ll(x.row));
}

}  // namespace flashdec
