// Where the splits of a sequence begin and end.  Shared by the planner, the CPU and the device, so
// that all of them cut at the same tokens.
#pragma once

#include <cstdint>

#include "core/inline.h"

namespace flashdec {

// Which part of the work is one split.  A plan fixes it; lengths are only known when it runs.
struct Schedule {
  int64_t max_splits;   // splits of a sequence of max_kv_len tokens, at most
  int64_t split_len;    // tokens in a split; 0: decided from the lengths when the plan runs
  int64_t tile;         // splits begin at multiples of it
  int64_t grid;         // blocks of a kernel that deals tiles to them itself; 0: of other kernels
  int64_t heads;        // query heads that such a block takes at a time
  int64_t team;         // blocks that walk the same tokens together, each for another head
  int64_t levels;       // such a block may fold 2^levels neighbouring splits of split_len
  int64_t slow_memory;  // 1: the multiprocessors can ask for more than it has (cuda/tensor/)
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

// Fixed splits are the leaves of a binary tree over a sequence (cuda/tensor/tree.cuh).  A block
// folds 2^level neighbours into a node before others see them; no more nodes a block than this,
// where the levels allow it, so that partial results stay few.
constexpr int64_t kMostNodes = 32;

// How far to fold, up to `most`: a matter of speed alone.  `cost_of(level)` is about the time of
// the block that has most to do, in sixteenths of what a split takes; kTooManyNodes ends the
// search.
constexpr int kTooManyNodes = INT32_MAX;

template <class CostOf>
FLASHDEC_INLINE int node_level(int most, const CostOf& cost_of) {
  int best = most;
  int least_cost = INT32_MAX;
  for (int level = most; level >= 0; --level) {
    const int cost = cost_of(level);
    if (cost == kTooManyNodes) break;
    if (cost >= least_cost) continue;
    least_cost = cost;
    best = level;
  }
  return best;
}

// Nodes are dealt whole, so many small ones are dealt more evenly; but each that is not a whole
// sequence costs as much as a sixteenth of a split to exchange.
FLASHDEC_INLINE int folding_cost(int splits, int exchanged) {
  return 16 * splits + exchanged;
}

// What is known of all sequences without a look at each.
struct Folding {
  int splits;
  int splits_of_each;  // sequence, or 0: they differ
  int batch;
  int units;  // of a sequence
};

// `each_of(nodes)` are a block's, rounded up.
template <class EachOf>
FLASHDEC_INLINE int folding_cost(const Folding& all, int level, const EachOf& each_of) {
  const int more = (1 << level) - 1;
  const int nodes_of_each = (all.splits_of_each + more) >> level;
  const int64_t begun = int64_t{all.batch} * more / 2;
  const int rows = all.splits_of_each != 0 ? all.batch * nodes_of_each
                                           : static_cast<int>((all.splits + begun) >> level);
  const int each = each_of(rows * all.units);
  if (each > kMostNodes) return kTooManyNodes;
  const int uneven = all.splits_of_each != 0 ? 0 : 8 << level;
  return folding_cost(each << level, nodes_of_each == 1 ? 0 : each) + uneven;
}

// Nodes that a launch leaves for the combine, at most.
FLASHDEC_INLINE int64_t most_nodes(const Schedule& schedule, int64_t all_units) {
  const int64_t splits = all_units * schedule.max_splits;
  const int64_t wanted = kMostNodes * schedule.grid;
  const int64_t folded = splits >> schedule.levels;
  const int64_t most = (wanted > folded ? wanted : folded) + all_units;
  return splits < most ? splits : most;
}

// How a grid of blocks shares units of equal length: whole ones in rounds, and those left over cut
// into parts, so that as many blocks as possible read to the end.  The blocks for which there is no
// part take the ends of those units, in turns, if that is worth it.
struct Rounds {
  int whole;      // rounds of whole units
  int left_over;  // units
  int parts;      // of each of those
  int spare;      // blocks without a part
  int ends;       // that such a block would take
  int end_tiles;  // of each; 0: they take none
};

// Tiles that a block takes at once, one for each warp.
constexpr int kTurn = 4;

// Those that `tiles` take.
template <class Int>
FLASHDEC_INLINE Int turns_of(Int tiles) {
  return (tiles + kTurn - 1) / kTurn;
}

// An end has at least kLeastEnd tiles and as many as a block takes ends, because each costs a
// merge; and blocks that read fewer tiles than kLongShare in all do not gain from them
// (docs/kernels.md).
constexpr int kLeastEnd = 8;
constexpr int kLongShare = 256;

// So that a spare block has as many tiles in its `ends` as others in a part of what is left.
FLASHDEC_INLINE int end_length(const Rounds& rounds, int tiles) {
  if (rounds.whole * int64_t{tiles} + tiles / rounds.parts < kLongShare) return 0;
  const int even = tiles / (rounds.parts * rounds.ends + 1);
  const int end = even / kTurn * kTurn;
  return end < kLeastEnd || end < rounds.ends ? 0 : end;
}

FLASHDEC_INLINE Rounds deal_rounds(int64_t units, int64_t grid, int64_t tiles, bool may_cut) {
  const int64_t left_over = units % grid;
  int64_t parts = left_over > 0 ? grid / left_over : 1;
  // A part has at least a turn: less costs more to exchange than to read.
  const int64_t most = may_cut ? turns_of(tiles) : 1;
  if (parts > most) parts = most;
  if (parts < 1) parts = 1;
  const int64_t spare = grid - left_over * parts;
  const int64_t ends = (left_over + spare - 1) / (spare > 0 ? spare : 1);
  Rounds rounds = {static_cast<int>(units / grid), static_cast<int>(left_over),
                   static_cast<int>(parts),        static_cast<int>(spare),
                   static_cast<int>(ends),         0};
  if (may_cut && spare > 0 && ends > 0)
    rounds.end_tiles = end_length(rounds, static_cast<int>(tiles));
  return rounds;
}

}  // namespace flashdec
