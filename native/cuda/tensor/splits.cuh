// Units cut at tokens that the plan fixes, whatever the lengths: the deal of batch-invariant plans.
//
// The splits of a unit are the leaves of a tree (tree.cuh); a node is as many neighbours as a block
// folds by itself.  Nodes in the order of memory (sequence, node, unit) go round the blocks. Before
// that, where lengths are on the device, a block may take the first node of the unit of its own
// number, which is known before any length is.  Nodes are few on purpose: the partial results of
// many would take more of the memory's time than they save.
#pragma once

#include "core/split.h"
#include "cuda/tensor/packet.cuh"
#include "cuda/tensor/work.cuh"

namespace flashdec::cuda {

// Nodes of a unit of a sequence.
struct NodesOf {
  Quanta quanta;
  int level;

  __device__ int operator()(int, int len) const { return ((quanta.of(len) - 1) >> level) + 1; }
};

// How far to fold, of lengths on the device.  Called, and with values, as sum_lengths() is.
static __device__ __noinline__ int find_node_level(Quanta quanta, Survey survey, int batch,
                                                   int units, int most, Divisor grid) {
  const ShareOfBlock each_of = {grid};
  const bool even = survey.common != kLengthsDiffer;
  if (even || batch > 32) {
    const Folding all = {survey.quanta, even ? quanta.of(survey.common) : 0, batch, units};
    return node_level(most, FoldingCost{all, each_of});
  }
  // Every lane knows one of them.
  const int splits = static_cast<int>(threadIdx.x) % 32 < batch ? quanta.of(survey.first) : 0;
  return node_level(most, [&](int level) {
    const int nodes = (splits + (1 << level) - 1) >> level;
    const int each = each_of(__reduce_add_sync(kAllLanes, nodes) * units);
    const int exchanged = each_of(__reduce_add_sync(kAllLanes, nodes > 1 ? nodes : 0) * units);
    return each > kMostNodes ? kTooManyNodes : folding_cost(each << level, exchanged);
  });
}

// Of a sequence, in the line of those that go round.
struct LineRows {
  NodesOf nodes;
  int led;

  __device__ int operator()(int sequence, int len) const {
    return nodes(sequence, len) - (sequence < led ? 1 : 0);
  }
};

// The unit whose first node this block reads.
struct FirstNode {
  bool any;
  int sequence;
  int unit;

  __device__ explicit FirstNode(const TensorParams& p) {
    const int block = static_cast<int>(blockIdx.x), units = static_cast<int>(p.units.value);
    any = block < p.led * units;
    sequence = p.units.divide(block);
    unit = block - sequence * units;
  }

  // If it were as long as it may be.
  __device__ Piece longest(const TensorParams& p) const {
    return {sequence, unit, p.kv_len, 0, 1, Quanta(p).tiles(p.kv_len), 0, 0};
  }
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
    level = p.level >= 0 ? p.level
                         : find_node_level(Quanta(p), survey, p.batch, units(), p.levels, p.grid);
  }

  __device__ int units() const { return static_cast<int>(p.units.value); }
  __device__ Load load(int) const {
    const int tiles = min(p.split_tiles, Quanta(p).tiles(survey.longest));
    return load_of_each(int64_t{survey.quanta} * tiles * p.units.value);
  }
  __device__ NodesOf rows() const { return {Quanta(p), level}; }
  __device__ int nodes(int len) const { return rows()(0, len); }
  __device__ int slot(const Piece& piece) const {
    return piece.parts > 1 ? piece.row * units() + piece.unit : kNoSlot;
  }
  __device__ int64_t packet(int slot, int quad) const { return packet_index(p, slot, quad); }
  __device__ Window first_window() const { return show(rows(), p.batch, 0, survey.first, 0); }
  __device__ Window next_window(const Window& shown, int rows_before) const {
    return show_next(rows(), Lengths(p), shown.base + 32, rows_before);
  }
};

// The deal itself; kLeads: blocks may have a first node.
template <bool kLeads>
struct SplitsDeal : Splits {
  using Splits::Splits;

  __device__ int led() const { return kLeads ? p.led : 0; }
  __device__ LineRows line() const { return {rows(), led()}; }

  // Steps through the nodes of this block.  Cheap enough to keep two: one for the loads, which run
  // ahead, and one for the arithmetic.  By whole warps.
  struct Cursor {
    const SplitsDeal& deal;
    int row;  // in the line; kFirst before that
    int unit;
    Window shown;

    static constexpr int kFirst = -1;

    __device__ explicit Cursor(const SplitsDeal& all)
        : deal(all), shown(show(all.line(), all.p.batch, 0, all.survey.first, 0)) {
      begin_line();
      if (kLeads && FirstNode(all.p).any) row = kFirst;
    }

    // The blocks that have no first node come first.
    __device__ void begin_line() {
      const int with_first = deal.led() * deal.units();
      const int block = static_cast<int>(blockIdx.x);
      const int place = block - with_first + (block < with_first ? static_cast<int>(gridDim.x) : 0);
      row = deal.p.units.divide(place);
      unit = place - row * deal.units();
    }

    __device__ static bool sees(int) { return true; }
    __device__ bool next(Piece& piece) {
      if (kLeads && row == kFirst) {
        const FirstNode of(deal.p);
        const Window::Entry found = shown.entry(of.sequence);
        const int before = found.end - deal.line()(found.sequence, found.len);
        piece = node(found, of.unit, 0, before + found.sequence);
        begin_line();
        return true;
      }
      for (int rows = shown.rows(); row >= rows; rows = shown.rows()) {
        if (shown.base + 32 >= deal.p.batch) return false;
        shown = show_next(deal.line(), Lengths(deal.p), shown.base + 32, rows);
      }
      const Window::Entry found = shown.find(row);
      const int of_line = row - (found.end - deal.line()(found.sequence, found.len));
      const bool after_first = found.sequence < deal.led();
      piece = node(found, unit, of_line + (after_first ? 1 : 0),
                   row + min(found.sequence + 1, deal.led()));
      advance();
      return true;
    }

    // Number `index` of a sequence, in row `row` of all nodes in memory.
    __device__ Piece node(const Window::Entry& of, int of_unit, int index, int row) const {
      const int node_tiles = deal.p.split_tiles << deal.level;
      const int begin = index * node_tiles;
      const int tiles = min(node_tiles, Quanta(deal.p).tiles(of.len) - begin);
      return {of.sequence, of_unit, of.len, begin, 1, tiles, row, deal.nodes(of.len)};
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
