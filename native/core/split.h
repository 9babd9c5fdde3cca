// Where the splits of a sequence begin and end.  Shared by the planner, the CPU and the device, so
// that all of them cut at the same tokens.
#pragma once

#include <cstdint>

#include "core/inline.h"

namespace flashdec {

// Which part of the work is one split.  A plan fixes it; lengths are only known when it runs.
struct Schedule {
  int64_t max_splits;  // splits of a sequence of max_kv_len tokens, at most
  int64_t split_len;   // tokens in a split; 0: decided from the lengths when the plan runs
  int64_t tile;        // splits begin at multiples of it
  int64_t grid;        // blocks of a kernel that deals tiles to them itself; 0: of other kernels
  int64_t heads;       // query heads that such a block takes at a time
  int64_t levels;      // such a block folds up to 2^levels neighbouring splits
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

// A persistent kernel's splits, where the plan does not fix them: this many tokens, doubled a few
// times as long as two are left for every block.
constexpr int64_t kQuantum = 128;
constexpr int kMostGrowth = 2;

// `quanta` of all sequences together.
FLASHDEC_INLINE int split_growth(int64_t quanta, int64_t units, int64_t blocks) {
  int growth = kMostGrowth;
  while (growth > 0 && (quanta >> growth) * units < 2 * blocks)
    --growth;
  return growth;
}

// Splits are the leaves of a binary tree over a sequence (cuda/tensor/tree.cuh).  A block folds
// 2^level neighbours into a node before others see them, as few as leave it no more nodes than
// this: so the partial results of a launch do not grow with the batch.
constexpr int64_t kMostNodes = 32;

FLASHDEC_INLINE int node_level(int64_t splits, int64_t units, int64_t blocks, int levels) {
  int level = 0;
  while (level < levels && (splits * units >> level) > kMostNodes * blocks)
    ++level;
  return level;
}

// Nodes that a launch leaves for the combine, at most: the two functions above round down, and
// every sequence of a unit rounds up.
FLASHDEC_INLINE int64_t most_nodes(const Schedule& schedule, int64_t all_units, int64_t max_len) {
  const bool grows = schedule.split_len == 0;
  const int64_t quantum = grows ? kQuantum : schedule.split_len;
  const int64_t quanta = all_units * ((max_len + quantum - 1) / quantum);
  const int64_t folded = quanta >> (schedule.levels + (grows ? kMostGrowth : 0));
  const int64_t wanted = kMostNodes * schedule.grid;
  const int64_t most = (wanted > folded ? wanted : folded) + 2 * all_units + 1;
  return quanta < most ? quanta : most;
}

// How a grid of blocks shares units of equal length: whole ones in rounds, and those left over cut
// into parts, so that as many blocks as possible read to the end.
struct Rounds {
  int whole;      // rounds of whole units
  int left_over;  // units
  int parts;      // of each of those
};

// A part has at least this many tiles: less costs more to exchange than to read.
constexpr int64_t kLeastTiles = 4;

FLASHDEC_INLINE Rounds deal_rounds(int64_t units, int64_t grid, int64_t tiles, bool may_cut) {
  const int64_t left_over = units % grid;
  int64_t parts = left_over > 0 ? grid / left_over : 1;
  const int64_t most = may_cut ? tiles / kLeastTiles : 1;
  if (parts > most) parts = most;
  if (parts < 1) parts = 1;
  return {static_cast<int>(units / grid), static_cast<int>(left_over), static_cast<int>(parts)};
}

}  // namespace flashdec
