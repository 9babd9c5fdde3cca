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

#include "cuda/device/memory.cuh"
#include "cuda/device/warp.cuh"
#include "cuda/tensor/cut.cuh"
#include "cuda/tensor/params.h"

namespace flashdec::cuda {

constexpr int kBadLen = -1;

// In spans, a new sequence takes a block as long as this many tiles more.
constexpr int kBeginning = 1;

// Tiles of one unit: from `first` on every `step`-th.  The warps of the block take them in turn.
struct Piece {
  int sequence;
  int unit;  // of the sequence
  int len;   // tokens of the sequence; 0: nothing to attend to, kBadLen: unusable
  int first;
  int step;
  int tiles;
  // Parts: the slot, and nothing.  Splits: the row of the node, and the nodes of the unit.  Spans:
  // where the unit begins, and its quanta.
  int row;
  int parts;

  // The first token of a warp.
  template <class Shape>
  __device__ int token(int warp) const {
    return (first + warp * step) * Shape::kTile;
  }
  template <class Shape>
  __device__ int tiles_of(int warp) const {
    return (tiles - warp + Shape::kWarps - 1) / Shape::kWarps;
  }
};

// Tiles to read: by one warp, and by all of the launch; and the blocks that read any.
struct Load {
  int mine;
  int64_t all;
  int blocks;
};

// As if every warp had as much.
__device__ inline Load load_of_each(int64_t all) {
  const int blocks = static_cast<int>(gridDim.x);
  return {static_cast<int>(min(all / kTurn / blocks, int64_t{INT_MAX})), all, blocks};
}

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

__device__ inline SharedUnit shared_unit(const TensorParams& p, const Piece& piece,
                                         const Cut& cut) {
  const int quads = heads_of(p, piece.unit) * static_cast<int>(p.row_quads.value);
  return {cut, share_columns(cut.parts, cut.parts, quads, threads_log()), piece.sequence,
          first_head_of(p, piece.unit)};
}

// What a block has left to do: a piece, if there is one, and those after it.  One copy of this is
// made when the first piece is known, because to fetch the code that steps takes longer than to
// run it.
template <class Deal>
struct Work {
  typename Deal::Cursor cursor;
  Piece piece;
  bool any = true;
  bool found = true;

  __device__ explicit Work(const Deal& deal) : cursor(deal) { step(); }
  // If the first piece is known, or is looked for later.
  __device__ Work(const Deal& deal, bool is_known, const Piece& first)
      : cursor(deal), piece(first), found(is_known) {
    if (is_known) cursor.skip(piece);
  }
  __device__ void step() {
    any = cursor.next(piece);
    found = true;
  }
};

constexpr int kLengthsDiffer = -2;

// What the lengths say.
struct Survey {
  int common;  // length of every sequence, kBadLen too, or kLengthsDiffer
  int longest;
  int quanta;  // of all sequences
  int first;   // length of the sequence of this lane's number
};

// The lengths of all sequences.
struct Lengths {
  const int32_t* on_device;  // or null: all have this one
  int one;
  int batch;
  int most;

  __device__ explicit Lengths(const TensorParams& p)
      : on_device(p.kv_lens), one(p.kv_len), batch(p.batch), most(p.max_kv_len) {}

  __device__ int checked(int len) const { return len >= 0 && len <= most ? len : kBadLen; }
  __device__ int of(int sequence) const {
    return on_device == nullptr ? one : checked(on_device[sequence]);
  }
  // By the threads from number `first` of the block on: into L2, before they may be read.
  __device__ void prefetch_all(int first) const {
    const int words = 32 * (static_cast<int>(threadIdx.x) - first);  // of a line
    if (on_device == nullptr || words < 0) return;
    for (int b = words; b < batch; b += 32 * (static_cast<int>(blockDim.x) - first))
      prefetch(on_device + b);
  }

  // As they are in memory, asked for before tiles are, because behind those they would come late:
  // the first one, or those of this lane, every 32nd.
  static constexpr int kAsked = 8;
  struct Asked {
    int len[kAsked];
  };
  __device__ int ask_first() const { return on_device == nullptr ? one : *on_device; }
  __device__ Asked ask() const {
    const int lane = static_cast<int>(threadIdx.x) % 32;
    Asked asked;
    asked.len[0] = on_device == nullptr ? one : lane < batch ? on_device[lane] : 0;
    if (on_device == nullptr || batch <= 32) return asked;
#pragma unroll
    for (int i = 1; i < kAsked; ++i)
      asked.len[i] = lane + 32 * i < batch ? on_device[lane + 32 * i] : 0;
    return asked;
  }
};

// What is dealt: splits, or tiles and what it costs to begin a sequence.
struct Quanta {
  bool fixed;
  int tile_log;
  Divisor split_len;

  __device__ explicit Quanta(const TensorParams& p)
      : fixed(p.fixed), tile_log(p.tile_log), split_len(p.split_len) {}

  __device__ int tiles(int len) const { return len <= 0 ? 0 : ((len - 1) >> tile_log) + 1; }
  // A sequence without tokens still takes one: someone must write its outputs.
  __device__ int of(int len) const {
    if (len <= 0) return 1;
    return fixed ? split_len.divide(len - 1) + 1 : kBeginning + tiles(len);
  }
};

// Code that a launch runs once is fetched from memory, and a jump costs more than a few
// instructions in a row; so what few launches need stands aside, in functions that are called.
// They get values: a reference to the parameters would be read as memory, word after word.
struct LengthSums {
  int low = INT_MAX;
  int high = INT_MIN;
  int quanta = 0;

  __device__ void add(int len, const Quanta& of) {
    low = min(low, len);
    high = max(high, len);
    quanta += of.of(len);
  }
};

// Of the sequences of this lane beyond those that were asked for.
static __device__ __noinline__ LengthSums sum_lengths(Lengths lengths, Quanta quanta) {
  LengthSums sums;
  const int first = static_cast<int>(threadIdx.x) % 32 + 32 * Lengths::kAsked;
#pragma unroll 4
  for (int b = first; b < lengths.batch; b += 32)
    sums.add(lengths.of(b), quanta);
  return sums;
}

// `asked`: what ask() gave.  By whole warps, each for itself.
__device__ inline Survey survey(const Lengths& lengths, const Quanta& quanta,
                                const Lengths::Asked& asked) {
  const int one = lengths.one;
  if (lengths.on_device == nullptr) return {one, one, lengths.batch * quanta.of(one), one};
  const int first = lengths.checked(asked.len[0]);
  const int lane = static_cast<int>(threadIdx.x) % 32;
  LengthSums all;
  if (lane < lengths.batch) all.add(first, quanta);
  if (lengths.batch > 32) {
#pragma unroll
    for (int i = 1; i < Lengths::kAsked; ++i)
      if (lane + 32 * i < lengths.batch) all.add(lengths.checked(asked.len[i]), quanta);
  }
  if (lengths.batch > 32 * Lengths::kAsked) {
    const LengthSums others = sum_lengths(lengths, quanta);
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

// Of the sequences from `base` on, this lane's of length `len`: `rows_of(sequence, len)` rows each,
// after `before`.  By whole warps.
template <class RowsOf>
__device__ inline Window show(const RowsOf& rows_of, int batch, int base, int len, int before) {
  const int mine = base + static_cast<int>(threadIdx.x) % 32;
  return {base, len, before + sum_up_to_lane(mine < batch ? rows_of(mine, len) : 0)};
}

// The next 32.
template <class RowsOf>
static __device__ __noinline__ Window show_next(RowsOf rows_of, Lengths lengths, int base,
                                                int before) {
  const int mine = base + static_cast<int>(threadIdx.x) % 32;
  const int len = mine < lengths.batch ? lengths.of(mine) : 0;
  return show(rows_of, lengths.batch, base, len, before);
}

}  // namespace flashdec::cuda
