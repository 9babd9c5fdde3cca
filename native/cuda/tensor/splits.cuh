// Units cut at tokens that the plan fixes, whatever the lengths: the deal of batch-invariant plans.
//
// The splits of a unit are the leaves of a tree (tree.cuh); a node is as many neighbours as a block
// folds by itself.  Nodes in the order of memory (sequence, node, unit) go round the blocks.
// Nodes are few on purpose: the partial results of many would take more of the memory's time than
// they save.
#pragma once

#include "core/split.h"
#include "cuda/tensor/work.cuh"

namespace flashdec::cuda {

// Of a sequence.
struct NodeRows {
  Quanta quanta;
  int level;

  __device__ int operator()(int, int len) const { return ((quanta.of(len) - 1) >> level) + 1; }
};

// What every thread knows of the launch as a whole.
struct Splits {
  const TensorParams& p;
  Survey survey;
  int level;  // a node is 2^level splits

  static constexpr bool kAnyLength = true;
  static constexpr bool kFolds = true;
  static constexpr bool kDealt = false;

  __device__ Splits(const TensorParams& params, const Survey& lengths)
      : p(params), survey(lengths) {
    const bool even = survey.common != kLengthsDiffer;
    level = node_level({survey.quanta, even ? Quanta(p).of(survey.common) : 0, p.batch, units()},
                       p.levels, [&](int nodes) { return p.grid.divide(nodes - 1) + 1; });
  }

  __device__ int units() const { return static_cast<int>(p.units.value); }
  __device__ NodeRows rows() const { return {Quanta(p), level}; }
  __device__ int nodes(int len) const { return rows()(0, len); }
  __device__ int slot(const Piece& piece) const {
    return piece.parts > 1 ? piece.row * units() + piece.unit : kNoSlot;
  }
  __device__ Window first_window() const { return show(rows(), p.batch, 0, survey.first, 0); }
  __device__ Window next_window(const Window& shown, int rows_before) const {
    return show_next(rows(), Lengths(p), shown.base + 32, rows_before);
  }

  // Steps through the nodes of this block.  Cheap enough to keep two: one for the loads, which run
  // ahead, and one for the arithmetic.  By whole warps.
  struct Cursor {
    const Splits& deal;
    int row;
    int unit;
    Window shown;

    __device__ explicit Cursor(const Splits& all) : deal(all), shown(all.first_window()) {
      row = all.p.units.divide(static_cast<int>(blockIdx.x));
      unit = static_cast<int>(blockIdx.x) - row * all.units();
    }

    __device__ static bool sees(int) { return true; }
    __device__ bool next(Piece& piece) {
      for (int rows = shown.rows(); row >= rows; rows = shown.rows()) {
        if (shown.base + 32 >= deal.p.batch) return false;
        shown = deal.next_window(shown, rows);
      }
      const Window::Entry found = shown.find(row);
      piece.sequence = found.sequence;
      piece.unit = unit;
      piece.len = found.len;
      piece.row = row;
      piece.parts = deal.nodes(found.len);
      const int node = row - (found.end - piece.parts);
      const int node_tiles = deal.p.split_tiles << deal.level;
      piece.first = node * node_tiles;
      piece.step = 1;
      piece.tiles = min(node_tiles, Quanta(deal.p).tiles(found.len) - piece.first);
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
