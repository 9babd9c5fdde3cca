// Units of any lengths, all cut at the same tokens: the deal of batch-invariant plans, and of
// lengths that differ.
//
// A split is the plan's, or a few quanta, as many as leave enough splits for all blocks.  The
// splits of a unit are the leaves of a tree (tree.cuh); a node is as many neighbours as a block
// folds by itself, mostly one.  Nodes in the order of memory (sequence, node, unit) go round the
// blocks, so that together they read one stretch of memory after the other, and all of them to the
// end.
#pragma once

#include "core/split.h"
#include "cuda/tensor/work.cuh"

namespace flashdec::cuda {

// What every thread knows of the launch as a whole.
struct Splits {
  const TensorParams& p;
  Survey survey;
  int growth;  // a split is 2^growth quanta
  int level;   // a node is 2^level splits

  static constexpr bool kCut = true;

  __device__ Splits(const TensorParams& params, const Survey& lengths)
      : p(params), survey(lengths), growth(0), level(0) {
    if (p.grows) growth = split_growth(survey.quanta, units(), gridDim.x);
    level = node_level(survey.quanta >> growth, units(), gridDim.x, p.levels);
  }

  __device__ int units() const { return static_cast<int>(p.units.value); }
  __device__ int split_tiles() const { return p.quantum_tiles << growth; }
  // Of a sequence.  One without tokens has a node too: someone must write its outputs.
  __device__ int nodes(int len) const {
    return len <= 0 ? 1 : (p.quantum.divide(len - 1) >> (growth + level)) + 1;
  }

  // Rows of nodes before the end of each of 32 sequences, one in each lane.
  struct Window {
    int base;
    int len;
    int end;
  };

  // By whole warps: the window of the sequences from `base` on.
  __device__ Window window(int base, int before) const {
    const int lane = static_cast<int>(threadIdx.x) % 32;
    const bool there = base + lane < p.batch;
    Window shown = {base, 0, 0};
    if (there) shown.len = base == 0 ? survey.first : Lengths{p}.of(base + lane);
    shown.end = there ? nodes(shown.len) : 0;
#pragma unroll
    for (int distance = 1; distance < 32; distance *= 2) {
      const int other = __shfl_up_sync(kAllLanes, shown.end, distance);
      if (lane >= distance) shown.end += other;
    }
    shown.end += before;
    return shown;
  }

  // Steps through the nodes of this block.  Cheap enough to keep two: one for the loads, which run
  // ahead, and one for the arithmetic.  By whole warps.
  struct Cursor {
    const Splits& deal;
    int row;
    int unit;
    Window shown;

    __device__ explicit Cursor(const Splits& all) : deal(all), shown(all.window(0, 0)) {
      row = all.p.units.divide(static_cast<int>(blockIdx.x));
      unit = static_cast<int>(blockIdx.x) - row * all.units();
    }

    __device__ bool next(Piece& piece) {
      int rows = __shfl_sync(kAllLanes, shown.end, 31);
      while (row >= rows) {
        if (shown.base + 32 >= deal.p.batch) return false;
        shown = deal.window(shown.base + 32, rows);
        rows = __shfl_sync(kAllLanes, shown.end, 31);
      }
      const unsigned beyond = __ballot_sync(kAllLanes, shown.end > row);
      const int found = __ffs(static_cast<int>(beyond)) - 1;
      piece.sequence = shown.base + found;
      piece.unit = unit;
      piece.len = __shfl_sync(kAllLanes, shown.len, found);
      const int nodes = deal.nodes(piece.len);
      const int node = row - (__shfl_sync(kAllLanes, shown.end, found) - nodes);
      const int node_tiles = deal.split_tiles() << deal.level;
      const int tiles = piece.len <= 0 ? 0 : ((piece.len - 1) >> deal.p.tile_log) + 1;
      piece.first = node * node_tiles;
      piece.step = 1;
      piece.tiles = min(node_tiles, tiles - piece.first);
      piece.slot = nodes > 1 ? row * deal.units() + unit : kNoSlot;
      advance();
      return true;
    }

    __device__ void advance() {
      row += deal.p.step_rows;
      unit += deal.p.step_units;
      if (unit < deal.units()) return;
      unit -= deal.units();
      ++row;
    }
  };
};

}  // namespace flashdec::cuda
