// What there is to do: lengths, and the pieces of it that a block takes in turn.
//
// A unit is one key/value head (and one block of query heads) of one sequence.  Units are dealt to
// the blocks of a persistent grid in one of three ways:
//   parts    (even.cuh) every length the same: whole units in equal rounds; each one left over is
//            cut into parts whose tiles interleave, so that neighbours read neighbouring memory;
//   spans    (spans.cuh) lengths differ: the tiles of all sequences in a row, cut into equal spans;
//   splits   (splits.cuh) the plan fixes the splits: neighbouring ones make a node, and the nodes
//            go round the blocks.
#pragma once

#include <climits>

#include "cuda/device/tensor_core.cuh"
#include "cuda/tensor/params.h"

namespace flashdec::cuda {

constexpr int kBadLen = -1;
constexpr int kNoSlot = -1;

// In spans, a new sequence takes a block as long as this many tiles more.
constexpr int kBeginning = 1;

// Tiles first, first + step, ... of one unit.
struct Piece {
  int sequence;
  int unit;  // of the sequence
  int len;   // tokens of the sequence; 0: nothing to attend to, kBadLen: unusable
  int first;
  int step;
  int tiles;
  // Parts: the slot.  Splits: the row of the node, and the nodes of the unit.  Spans: where the
  // unit begins, and its quanta.
  int row;
  int parts;

  // The first token of a warp.
  template <class Shape>
  __device__ int token(int warp) const {
    return (first + step * warp) * Shape::kTile;
  }
  template <class Shape>
  __device__ int tiles_of(int warp) const {
    return (tiles - warp + Shape::kWarps - 1) / Shape::kWarps;
  }
};

__device__ inline int kv_head_of(const EvenParams&, int unit) {
  return unit;
}
__device__ inline int first_head_of(const EvenParams& p, int unit) {
  return unit * p.group;
}
__device__ inline int heads_of(const EvenParams& p, int) {
  return p.group;
}

__device__ inline int kv_head_of(const TensorParams& p, int unit) {
  return p.blocks.divide(unit);
}
__device__ inline int block_of(const TensorParams& p, int unit) {
  return unit - kv_head_of(p, unit) * static_cast<int>(p.blocks.value);
}
__device__ inline int first_head_of(const TensorParams& p, int unit) {
  return kv_head_of(p, unit) * p.group + block_of(p, unit) * p.block_heads;
}
__device__ inline int heads_of(const TensorParams& p, int unit) {
  return min(p.group - block_of(p, unit) * p.block_heads, p.block_heads);
}

constexpr int kLengthsDiffer = -2;

// What the lengths say.
struct Survey {
  int common;  // length of every sequence, kBadLen too, or kLengthsDiffer
  int longest;
  int quanta;  // of all sequences
  int first;   // length of the sequence of this lane's number
};

struct Lengths {
  const TensorParams& p;

  __device__ int checked(int len) const { return len >= 0 && len <= p.max_kv_len ? len : kBadLen; }
  __device__ int of(int sequence) const {
    return p.kv_lens == nullptr ? p.kv_len : checked(p.kv_lens[sequence]);
  }
  __device__ int tiles(int len) const { return len <= 0 ? 0 : ((len - 1) >> p.tile_log) + 1; }
  // Splits, or tiles and what it costs to begin a sequence.  One without tokens still takes a
  // quantum: someone must write its outputs.
  __device__ int quanta(int len) const {
    if (len <= 0) return 1;
    return p.fixed ? p.split_len.divide(len - 1) + 1 : kBeginning + tiles(len);
  }

  // As it is in memory, of the sequence of this lane's number: asked for early.
  __device__ int ask() const {
    const int lane = static_cast<int>(threadIdx.x) % 32;
    return p.kv_lens == nullptr ? p.kv_len : lane < p.batch ? p.kv_lens[lane] : 0;
  }

  // By whole warps, each for itself.
  __device__ Survey survey(int asked) const;
};

// Code that a launch runs once is fetched from memory, and a jump costs more than a few
// instructions in a row; so what few launches need stands aside, in functions that are called.
struct LengthSums {
  int low;
  int high;
  int quanta;
};

// Of the sequences of this lane from the 33rd on.
static __device__ __noinline__ LengthSums sum_lengths(const TensorParams& p) {
  const Lengths lengths = {p};
  LengthSums sums = {INT_MAX, INT_MIN, 0};
#pragma unroll 4
  for (int b = static_cast<int>(threadIdx.x) % 32 + 32; b < p.batch; b += 32) {
    const int len = lengths.of(b);
    sums.low = min(sums.low, len);
    sums.high = max(sums.high, len);
    sums.quanta += lengths.quanta(len);
  }
  return sums;
}

__device__ inline Survey Lengths::survey(int asked) const {
  if (p.kv_lens == nullptr) return {p.kv_len, p.kv_len, p.batch * quanta(p.kv_len), p.kv_len};
  const int first = checked(asked);
  const bool there = static_cast<int>(threadIdx.x) % 32 < p.batch;
  LengthSums all = {there ? first : INT_MAX, there ? first : INT_MIN, there ? quanta(first) : 0};
  if (p.batch > 32) {
    const LengthSums others = sum_lengths(p);
    all = {min(all.low, others.low), max(all.high, others.high), all.quanta + others.quanta};
  }
  all.low = __reduce_min_sync(kAllLanes, all.low);
  all.high = __reduce_max_sync(kAllLanes, all.high);
  all.quanta = __reduce_add_sync(kAllLanes, all.quanta);
  return {all.low == all.high ? all.low : kLengthsDiffer, all.high, all.quanta, first};
}

// The sequences from `base` on, one in each lane, and the rows of the launch before the end of
// each.
struct Window {
  int base;
  int len;
  int end;

  // Sequence `found` of those that are shown.
  struct Entry {
    int sequence;
    int len;
    int end;
  };
  __device__ Entry entry(int found) const {
    return {base + found, __shfl_sync(kAllLanes, len, found), __shfl_sync(kAllLanes, end, found)};
  }
  __device__ int rows() const { return __shfl_sync(kAllLanes, end, 31); }
  // The first that ends after a row, which is before rows().
  __device__ Entry find(int row) const {
    return entry(__ffs(static_cast<int>(__ballot_sync(kAllLanes, end > row))) - 1);
  }
};

// Of the sequences from `base` on, this lane's of length `len`: `rows_of(p, len)` rows each, after
// `before`.  By whole warps.
template <class RowsOf>
__device__ inline Window show(const TensorParams& p, const RowsOf& rows_of, int base, int len,
                              int before) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  int end = base + lane < p.batch ? rows_of(p, len) : 0;
#pragma unroll
  for (int distance = 1; distance < 32; distance *= 2) {
    const int other = __shfl_up_sync(kAllLanes, end, distance);
    if (lane >= distance) end += other;
  }
  return {base, len, end + before};
}

// The next 32.
template <class RowsOf>
static __device__ __noinline__ Window show_next(const TensorParams& p, RowsOf rows_of, int base,
                                                int before) {
  const int mine = base + static_cast<int>(threadIdx.x) % 32;
  const int len = mine < p.batch ? Lengths{p}.of(mine) : 0;
  return show(p, rows_of, base, len, before);
}

}  // namespace flashdec::cuda
