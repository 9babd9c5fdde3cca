// Reading ahead.
//
// The rows of the next tile are asked for while this one is computed, a few lines between each
// block of arithmetic: in one burst they would fill the queue of misses and stop the core, which is
// done for a thread's first tile alone.  They go to the second cache, since rows of a cache with
// tokens before heads share few sets of the first; into that one go rows whose products are next.
// What is asked for may lie beyond the end of a cache: that harms nothing.
#pragma once

#include <cstdint>

#include "cpu/state.h"
#include "cpu/tile.h"

namespace flashdec::cpu {
namespace {

constexpr int64_t kCacheLine = 64;

inline void prefetch(const unsigned char* row, int64_t begin, int64_t end) {
  for (; begin < end; begin += kCacheLine)
    __builtin_prefetch(row + begin, 0, 2);
}

// Into the first cache.
inline void prefetch_near(const unsigned char* row, int64_t bytes) {
  for (int64_t at = 0; at < bytes; at += kCacheLine)
    __builtin_prefetch(row + at, 0, 3);
}

// Which row of the next tile is prefetched while `heads` query heads take token t.  Few heads leave
// the processor's own prefetchers time to follow, so rows go in order.
template <int heads>
int64_t row_ahead(const Tile& next, int64_t t) {
  return heads <= kReadBound ? t : next.order->of[t];
}

// Rows one after the other, in the order of memory as far as they lie so, which is what the
// processor's own prefetchers follow.
class Ahead {
 public:
  Ahead(const unsigned char* const* rows, int count, int64_t row_bytes)
      : rows_(rows), end_(rows + count), row_bytes_(row_bytes) {}

  // The next lines of the rows, as far as there are any; rows begin anew with a line each.
  void prefetch_bytes(int64_t bytes) {
    for (; bytes > 0 && rows_ != end_; bytes -= kCacheLine) {
      __builtin_prefetch(*rows_ + at_, 0, 2);
      at_ += kCacheLine;
      if (at_ < row_bytes_) continue;
      at_ = 0;
      ++rows_;
    }
  }

 private:
  const unsigned char* const* rows_;
  const unsigned char* const* end_;
  int64_t row_bytes_;
  int64_t at_ = 0;
};

// The rows of a tile's keys, line after line, without a list of them.
template <int heads>
class KeysAhead {
 public:
  KeysAhead(const Tile* tile, int64_t row_bytes) : tile_(tile), row_bytes_(row_bytes) {}

  void prefetch_line() {
    if (at_ == 0) {
      if (token_ == kTile) return;
      row_ = tile_->k[row_ahead<heads>(*tile_, token_++)] + tile_->k_at;
    }
    __builtin_prefetch(row_ + at_, 0, 2);
    at_ += kCacheLine;
    if (at_ >= row_bytes_) at_ = 0;
  }

 private:
  const Tile* tile_;
  int64_t row_bytes_;
  const unsigned char* row_ = nullptr;
  int64_t token_ = 0;  // of the next row
  int64_t at_ = 0;
};

}  // namespace
}  // namespace flashdec::cpu
