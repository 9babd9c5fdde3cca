// The CPU backend as the core sees it, and what its kernels share.
#pragma once

#include "core/kernel.h"
#include "core/problem.h"
#include "core/workspace.h"

namespace flashdec::cpu {

constexpr int64_t kTile = 32;       // tokens at a time
constexpr int64_t kHeads = 8;       // query heads of one key/value head at a time: a block
constexpr int64_t kMostHeads = 64;  // query heads of an item, of all its key/value heads
constexpr int64_t kMostElements = kMostHeads * 128;  // of their rows

// How many of them rows of such head_dims leave room for on the stack of a thread.
int64_t most_heads(const Problem& problem);

// A unit of work: the query heads of some key/value heads against some splits of one sequence,
// which follow each other.
struct WorkItem {
  int64_t sequence;
  int64_t kv_head;   // the first
  int64_t kv_heads;  // how many; more than one where their rows lie side by side
  int64_t begin;     // tokens
  int64_t end;
  int64_t split;         // the first
  int64_t split_length;  // tokens in each but the last of a sequence
  bool cold;             // maybe nobody has prefetched its first tile
  bool whole;            // all splits of its sequence: write the outputs, not partial results
};

FLASHDEC_INLINE int64_t splits_of(const WorkItem& item) {
  return ceil_div(item.end - item.begin, item.split_length);
}

// Whether the item is to add up its splits.
FLASHDEC_INLINE bool adds_up(const WorkItem& item) {
  return item.whole && splits_of(item) > 1;
}

// What differs between the CPU kernels.
struct Steps {
  // Computes one item.  `after`, if it is not null, is what the same thread will be given next.
  void (*attend)(const Launch& launch, const WorkItem& item, const WorkItem* after);
  // Makes a row's output of the partial results of its splits, of which there are several.
  void (*combine)(const Launch& launch, int64_t sequence, int64_t head, int64_t splits);
};

// Runs every item and every row's combine on the plan's threads; returns when done.
void run(const Launch& launch, Steps steps);

void run_avx512bf16_bf16(const Launch& launch);
void run_avx512bf16_f16(const Launch& launch);
void run_avx512bf16_f32(const Launch& launch);
void run_avx512_bf16(const Launch& launch);
void run_avx512_f16(const Launch& launch);
void run_avx512_f32(const Launch& launch);
void run_avx2_bf16(const Launch& launch);
void run_avx2_f16(const Launch& launch);
void run_avx2_f32(const Launch& launch);
void run_neonbf16_bf16(const Launch& launch);
void run_neonbf16_f16(const Launch& launch);
void run_neonbf16_f32(const Launch& launch);
void run_neon_bf16(const Launch& launch);
void run_neon_f16(const Launch& launch);
void run_neon_f32(const Launch& launch);
void run_generic_bf16(const Launch& launch);
void run_generic_f16(const Launch& launch);
void run_generic_f32(const Launch& launch);
void run_reference_bf16(const Launch& launch);
void run_reference_f16(const Launch& launch);
void run_reference_f32(const Launch& launch);

}  // namespace flashdec::cpu
