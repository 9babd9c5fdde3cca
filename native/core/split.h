// Where the splits of a sequence begin and end.  Shared by the planner, the CPU and the device, so
// that all of them cut at the same tokens.
#pragma once

#include <cstdint>

#include "core/inline.h"

namespace flashdec {

// Which part of the work is one split.  A plan fixes it; lengths are only known when it runs.
struct Schedule {
  int64_t max_splits;  // splits of a sequence of max_kv_len tokens
  int64_t split_len;   // tokens in a split; 0: every sequence is cut into max_splits even parts
  int64_t tile;        // splits begin at multiples of it
};

// Tokens in each split (but the last) of a sequence of `len` tokens.
FLASHDEC_INLINE int64_t split_length(const Schedule& schedule, int64_t len) {
  if (schedule.split_len != 0) return schedule.split_len;
  const int64_t even = (len + schedule.max_splits - 1) / schedule.max_splits;
  const int64_t tiled = (even + schedule.tile - 1) / schedule.tile * schedule.tile;
  return tiled > 0 ? tiled : schedule.tile;
}

// Splits of a sequence of `len` tokens that hold a token.
FLASHDEC_INLINE int64_t live_splits(const Schedule& schedule, int64_t len) {
  const int64_t length = split_length(schedule, len);
  return (len + length - 1) / length;
}

}  // namespace flashdec
