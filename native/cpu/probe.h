// Reads memory and does nothing with it.  Each instruction set compiles it anew: with narrow
// vectors the queue of loads is full before the memory is.
#pragma once

#include <cstdint>

namespace flashdec::cpu {

// What to read: see flashdec_probe.h.
struct ProbedBlocks {
  const unsigned char* memory;
  const int32_t* blocks;
  int64_t count;
  int64_t bytes;  // of each
  int64_t ahead;
};

void probe_avx512(const ProbedBlocks& what);
void probe_avx2(const ProbedBlocks& what);
void probe_generic(const ProbedBlocks& what);

namespace {

using Line = uint64_t __attribute__((vector_size(64), may_alias));

constexpr int64_t kLine = sizeof(Line);

inline const Line& line_at(const unsigned char* memory) {
  return *reinterpret_cast<const Line*>(memory);
}

// Makes the compiler read what nobody uses.
inline void keep(const Line& line) {
  uint64_t sum = 0;
  for (int i = 0; i < 8; ++i)
    sum ^= line[i];
  __asm__ volatile("" : : "r"(sum));
}

inline void prefetch_two(const unsigned char* memory) {
  __builtin_prefetch(memory, 0, 2);
  __builtin_prefetch(memory + kLine, 0, 2);
}

// What is prefetched may lie beyond the end: that harms nothing.
inline void read(const unsigned char* memory, int64_t bytes, int64_t ahead) {
  Line a = {}, b = {}, c = {}, d = {};
  const unsigned char* const second = memory + bytes / 2;
  for (int64_t at = 0; at < bytes / 2; at += 2 * kLine) {
    if (ahead > 0) {
      prefetch_two(memory + at + ahead);
      prefetch_two(second + at + ahead);
    }
    a ^= line_at(memory + at);
    b ^= line_at(memory + at + kLine);
    c ^= line_at(second + at);
    d ^= line_at(second + at + kLine);
  }
  keep((a ^ b) ^ (c ^ d));
}

inline void read_blocks(const unsigned char* memory, const int32_t* blocks, int64_t count,
                        int64_t bytes, int64_t ahead) {
  Line a = {}, b = {};
  for (int64_t i = 0; i < count; ++i) {
    const unsigned char* const block = memory + blocks[i] * bytes;
    const bool more = ahead > 0 && i + ahead < count;
    const unsigned char* const next = memory + blocks[more ? i + ahead : i] * bytes;
    for (int64_t at = 0; at < bytes; at += 2 * kLine) {
      if (more) prefetch_two(next + at);
      a ^= line_at(block + at);
      b ^= line_at(block + at + kLine);
    }
  }
  keep(a ^ b);
}

inline void probe(const ProbedBlocks& what) {
  if (what.blocks == nullptr)
    return read(what.memory, what.count * what.bytes, what.ahead * what.bytes);
  read_blocks(what.memory, what.blocks, what.count, what.bytes, what.ahead);
}

}  // namespace
}  // namespace flashdec::cpu
