// What the tensor-core split kernels get.  Fields come in the order of their use, because every
// line of parameters that a block touches for the first time costs it a few hundred clocks.
#pragma once

#include "core/kernel.h"
#include "core/split.h"
#include "core/workspace.h"
#include "cuda/device/divisor.h"

namespace flashdec::cuda {

// Of one block of a unit; more would need the transfers of read.cuh.
constexpr int64_t kEvenTokens = 65536;

constexpr int kNeverPaced = INT32_MAX;

// Whether warps keep in step (pace.cuh): if each reads `from` tiles or more, about.
FLASHDEC_INLINE bool is_paced(int64_t tiles, int64_t warps, int from) {
  constexpr int64_t kMost = int64_t{1} << 30;  // that can be counted
  return tiles >= from * warps && tiles <= kMost;
}

// How the columns of a unit are shared between the blocks that reduce its parts.  Columns go by
// fours, 2^each_log of them to a block; 2^lanes_log lanes share a quad, each with every so manieth
// part.
struct Shares {
  int32_t quads;
  int32_t each_log;
  int32_t lanes_log;
};

FLASHDEC_INLINE int least(int a, int b) {
  return a < b ? a : b;
}

// A warp reads neighbouring quads, up to 2^kLineLog of them, which is a line of 128 bytes, so that
// it reads fewer lines; but a lane has no more parts than it can ask for at once.
constexpr int kLineLog = 3;
constexpr int kPartsAtOnce = 5;

// Among blocks of 2^threads_log threads.
FLASHDEC_INLINE Shares share_columns(int blocks, int parts, int quads, int threads_log) {
  const int each_log = ceil_log2((quads + blocks - 1) / blocks);
  const int spare_log = threads_log > each_log ? threads_log - each_log : 0;
  const int of_line = 5 - least(each_log, kLineLog);
  const int at_once = ceil_log2((parts + kPartsAtOnce - 1) / kPartsAtOnce);
  const int wanted = least(of_line > at_once ? of_line : at_once, 5);
  return {quads, each_log, least(least(spare_log, ceil_log2(parts)), wanted)};
}

// Parts lie whole; or, if a block reads less than a line of each, in stripes (packet.cuh) of half a
// line.  Shorter ones would take who writes them longer than they save who reads them.
FLASHDEC_INLINE int stripe_log_of(const Shares& shares) {
  const int whole = ceil_log2(shares.quads & -shares.quads);  // what divides them
  return shares.each_log < kLineLog ? least(whole, kLineLog - 1) : whole;
}

// A block's share of so many, rounded up.
struct ShareOfBlock {
  Divisor blocks;

  FLASHDEC_MEMBER int operator()(int all) const { return all > 0 ? blocks.divide(all - 1) + 1 : 0; }
};

struct FoldingCost {
  Folding all;
  ShareOfBlock each_of;

  FLASHDEC_MEMBER int operator()(int level) const { return folding_cost(all, level, each_of); }
};

// What every kernel needs, and all that the one for lengths that the host knows to be equal does
// (tensor/even.cuh).
struct EvenParams {
  // Tiles: rounds of whole units, and those left over in parts.  Of lengths on the device this is
  // what they would make if all were the longest.
  int32_t kv_len;
  int32_t tiles;        // of a unit
  int32_t whole;        // rounds
  int32_t first_whole;  // unit, after those left over, of which there are as many
  int32_t cut_blocks;   // blocks that have a part
  Divisor parts;        // of a unit left over, beside its end
  int32_t part_tiles;   // of each, at least
  int32_t part_rest;    // parts that have one more
  int32_t end_tiles;    // of the end, which other blocks take; 0: they take none
  int32_t ends;         // for such a block
  int32_t ends_rest;    // the first blocks; others have one fewer
  int32_t spare;        // blocks, from an end to the next one
  Divisor units;        // of a sequence
  bool one_launch;      // the workspace is prepared: parts are exchanged within the launch
  bool keeps;           // K and V may stay in L2
  int32_t paced_from;   // tiles of a warp
  int32_t looks_every;  // tiles of a warp
  float free_lead;      // tiles of a warp

  // Queries.
  int32_t group;
  int32_t head_dim;
  float score_factor;  // scale * log2(e)
  const void* q;
  int64_t q_stride_batch;
  int64_t q_stride_head;

  // Results.
  Divisor row_quads;    // head_dim_v / 4
  Divisor half_lanes;   // threads of half a block that store one head
  Divisor block_lanes;  // the same of a whole one
  Shares shares;
  void* o;
  int64_t o_stride_batch;
  int64_t o_stride_head;
  float* lse;
  int64_t lse_stride_batch;
  int64_t lse_stride_head;
  float* packets;
  SoftmaxState* headers;
  int32_t slot_quads;    // of a slot
  bool lse_base2;        // lse is to the base 2
  uint32_t* attendance;  // attendance.cuh
  int32_t stripe_log;    // quads of a part that lie together, where units are cut into parts
};

// What the kernel for any lengths needs beside that (lengths_split and fixed_split).
struct TensorParams : EvenParams {
  const int32_t* kv_lens;  // or null: kv_len
  int32_t batch;
  int32_t max_kv_len;
  const int32_t* page_table;
  int64_t page_table_stride;
  Divisor page;  // page_size
  int32_t num_pages;

  // Sequences of one length.
  bool even;            // are cut into parts
  bool may_be_longest;  // all of them: there are pages for that

  // Splits at the same tokens of every unit.
  bool fixed;
  Divisor split_len;
  int32_t split_tiles;
  Divisor grid;        // blocks
  int32_t levels;      // of their tree, that a block may fold
  int32_t level;       // that it does; -1: lengths on the device decide
  int32_t led;         // sequences whose first nodes are dealt before all others
  int32_t step_rows;   // from one node of a block to its next one:
  int32_t step_units;  // step_rows * units + step_units = blocks

  // Spans of tiles, for lengths that differ.
  Divisor team;  // blocks that walk the same tokens together
  Divisor teams;
  Divisor turns;     // of a team at a sequence
  bool keeps_spans;  // K and V may stay in L2

  int32_t tile_log;
  Divisor blocks;  // of query heads in a group
  int32_t block_heads;
  bool restores;  // the second launch leaves a prepared workspace as it was
  uint32_t* status;
};

}  // namespace flashdec::cuda
