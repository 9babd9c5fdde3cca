// Reading ahead.
//
// The rows of the next tile are asked for while this one is computed, a few lines between each
// block of arithmetic: in one burst they would fill the queue of misses and stop the core.  They go
// to the second cache, since rows of a cache with tokens before heads share few sets of the first.
#pragma once

#include <cstdint>

namespace flashdec::cpu {
namespace {

constexpr int64_t kCacheLine = 64;

inline void prefetch(const unsigned char* row, int64_t begin, int64_t end) {
  for (; begin < end; begin += kCacheLine)
    __builtin_prefetch(row + begin, 0, 2);
}

}  // namespace
}  // namespace flashdec::cpu
