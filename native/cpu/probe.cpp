// The exported function of flashdec_probe.h.

#include "flashdec_probe.h"

#include <cstdint>

#include "core/abi.h"
#include "core/checks.h"
#include "core/guarded.h"

using namespace flashdec;

namespace {

using Line = uint64_t __attribute__((vector_size(64), may_alias));

constexpr int64_t kLine = sizeof(Line);
constexpr int64_t kLeast = 4 * kLine;
constexpr int64_t kMost = INT64_C(1) << 40;  // bytes and blocks

const Line& line_at(const unsigned char* memory) {
  return *reinterpret_cast<const Line*>(memory);
}

// Makes the compiler read what nobody uses.
void keep(const Line& line) {
  uint64_t sum = 0;
  for (int i = 0; i < 8; ++i)
    sum ^= line[i];
  __asm__ volatile("" : : "r"(sum));
}

void prefetch(const unsigned char* memory) {
  __builtin_prefetch(memory, 0, 2);
  __builtin_prefetch(memory + kLine, 0, 2);
}

// What is prefetched may lie beyond the end: that harms nothing.
void read(const unsigned char* memory, int64_t bytes, int64_t ahead) {
  Line a = {}, b = {}, c = {}, d = {};
  const unsigned char* const second = memory + bytes / 2;
  for (int64_t at = 0; at < bytes / 2; at += 2 * kLine) {
    if (ahead > 0) {
      prefetch(memory + at + ahead);
      prefetch(second + at + ahead);
    }
    a ^= line_at(memory + at);
    b ^= line_at(memory + at + kLine);
    c ^= line_at(second + at);
    d ^= line_at(second + at + kLine);
  }
  keep((a ^ b) ^ (c ^ d));
}

void read_blocks(const unsigned char* memory, const int32_t* blocks, int64_t count, int64_t bytes,
                 int64_t ahead) {
  Line a = {}, b = {};
  for (int64_t i = 0; i < count; ++i) {
    const unsigned char* const block = memory + blocks[i] * bytes;
    const bool more = ahead > 0 && i + ahead < count;
    const unsigned char* const next = memory + blocks[more ? i + ahead : i] * bytes;
    for (int64_t at = 0; at < bytes; at += 2 * kLine) {
      if (more) prefetch(next + at);
      a ^= line_at(block + at);
      b ^= line_at(block + at + kLine);
    }
  }
  keep(a ^ b);
}

}  // namespace

int32_t flashdec_probe(const void* memory, const int32_t* blocks, int64_t count,
                       int64_t block_bytes, int64_t ahead) {
  return guarded([&] {
    const auto* const bytes = static_cast<const unsigned char*>(require(memory, "memory"));
    if (reinterpret_cast<uintptr_t>(bytes) % kLine != 0)
      refuse(FLASHDEC_MISALIGNED, "memory is not aligned to %lld bytes",
             static_cast<long long>(kLine));
    check_range("count", count, 1, kMost);
    check_range("block_bytes", block_bytes, kLeast, kMost);
    check_range("ahead", ahead, 0, kMost);
    if (block_bytes % kLeast != 0)
      refuse(FLASHDEC_INVALID_VALUE, "block_bytes is %lld; it must be a multiple of %lld",
             static_cast<long long>(block_bytes), static_cast<long long>(kLeast));
    if (blocks == nullptr) return read(bytes, count * block_bytes, ahead * block_bytes);
    for (int64_t i = 0; i < count; ++i)
      if (blocks[i] < 0)
        refuse(FLASHDEC_INVALID_VALUE, "blocks[%lld] is %d; it must be 0 or more",
               static_cast<long long>(i), blocks[i]);
    read_blocks(bytes, blocks, count, block_bytes, ahead);
  });
}
