// From a launch to the parameters of its kernel.
#pragma once

#include <algorithm>

#include "core/plan.h"
#include "core/status.h"
#include "cuda/tensor/params.h"
#include "cuda/tensor/shape.h"

namespace flashdec::cuda {

static_assert(kTurn == kWarps);

inline int64_t unit_count(const Problem& problem, const Schedule& schedule) {
  return problem.batch * problem.kv_heads * ceil_div(problem.group, schedule.heads);
}

// Tokens of every sequence, or, of lengths on the device, of the longest one there may be.
inline int64_t longest(const Launch& launch) {
  const Operands& x = launch.operands;
  return x.kv_len != nullptr ? launch.plan.problem.max_kv_len : x.uniform_kv_len;
}

inline Rounds rounds_of(const Launch& launch, bool cut) {
  const Schedule& schedule = launch.plan.schedule;
  const int64_t tiles = ceil_div(longest(launch), schedule.tile);
  return deal_rounds(unit_count(launch.plan.problem, schedule), schedule.grid, tiles, cut);
}

// One length for all that the host knows, in rows: even.cuh has a kernel for it, unless a block
// would have too much of one unit.
inline bool is_even(const Launch& launch, bool cut, int heads) {
  const Problem& problem = launch.plan.problem;
  const Operands& x = launch.operands;
  if (launch.plan.schedule.split_len != 0 || x.kv_len != nullptr || problem.paged() ||
      problem.group > heads || x.uniform_kv_len == 0)
    return false;
  const Rounds rounds = rounds_of(launch, cut);
  const int64_t tile = launch.plan.schedule.tile;
  const int64_t tiles = ceil_div(x.uniform_kv_len, tile);
  return (rounds.whole > 0 ? tiles : ceil_div(tiles, rounds.parts)) * tile <= kEvenTokens;
}

// Whether a unit may be shared between blocks in this run.  Lengths on the device decide there; one
// length for all is known here.
inline bool may_cut(const Launch& launch, int heads) {
  const Schedule& schedule = launch.plan.schedule;
  if (schedule.max_splits <= 1) return false;
  if (launch.operands.kv_len != nullptr) return true;
  if (is_even(launch, true, heads)) {
    const Rounds rounds = rounds_of(launch, true);
    return rounds.parts > 1 || rounds.end_tiles > 0;
  }
  return launch.operands.uniform_kv_len > schedule.split_len;
}

// Whether neighbouring heads share lines of 128 bytes in L2, because their rows end within them.
// Shorter rows share more of theirs, but do not gain by these rules (docs/kernels.md; measured at
// 80, 112 and 120).
inline bool shares_lines(const Launch& launch) {
  constexpr int64_t kLine = 64;  // elements
  const Problem& problem = launch.plan.problem;
  const Operands& x = launch.operands;
  const auto shares = [](int64_t dim, const Strides& strides) {
    return dim > 96 && strides.head < strides.token && strides.head % kLine != 0;
  };
  return shares(problem.head_dim, x.k_strides) || shares(problem.head_dim_v, x.v_strides);
}

// What is read once makes way in L2 for everything else, so that others find there what they have
// left.  Not if several blocks of query heads read it; nor, where the memory is slow, if the run is
// ten times as long as L2 and every block reads long stretches that it hardly shares, or shares
// lines with others that come later.
inline bool keeps(const Launch& launch, const Rounds& rounds) {
  constexpr int64_t kLongStretch = int64_t{2} << 20, kLongRun = int64_t{512} << 20;
  const Problem& problem = launch.plan.problem;
  const int64_t unit = 2 * (problem.head_dim + problem.head_dim_v) * longest(launch);
  const int64_t run = unit * problem.kv_heads * problem.batch;
  const bool long_stretches = rounds.parts <= 2 && unit >= kLongStretch && run >= kLongRun;
  const bool lines = shares_lines(launch) && run >= kLongRun / 2;
  const Schedule& schedule = launch.plan.schedule;
  return problem.group > schedule.heads || (schedule.slow_memory != 0 && (long_stretches || lines));
}

// Tiles of a warp from which on warps keep in step.  Where the memory could serve more than is on
// its way a wait is a loss, but in long runs of rows a smaller one than being out of step.  Lines
// that two heads share are read twice if the heads are not in step, unless they stay in L2.
inline int paced_from(const Launch& launch, bool keeps) {
  constexpr int kUsual = 24, kForLines = 12, kFast = 48;
  const bool lines = shares_lines(launch);
  if (lines && keeps) return kNeverPaced;
  if (launch.plan.schedule.slow_memory != 0) return lines ? kForLines : kUsual;
  return lines || launch.plan.problem.paged() ? kNeverPaced : kFast;
}

// Tiles from one look at the others to the next.  All warps of a launch read and write one word,
// which stands 200 accesses a microsecond and not 290: as tiles come faster, looks must be rarer.
inline int looks_every(const Schedule& schedule) {
  return schedule.slow_memory != 0 ? 2 : 4;
}

// A lead of so many tiles is none.  Measured, not understood: with long rows, and in pages unless
// every block has two whole units, warps do better if they are left alone for longer.
inline float free_lead(const Problem& problem, const Rounds& rounds) {
  const bool long_rows = std::max(problem.head_dim, problem.head_dim_v) > 128;
  return long_rows || (problem.paged() && rounds.whole != 2) ? 0.5f : 0.25f;
}

// All but the addresses: aim() below.
inline void fill_even(const Launch& launch, bool cut, EvenParams& p) {
  const Problem& problem = launch.plan.problem;
  const Operands& x = launch.operands;
  const Schedule& schedule = launch.plan.schedule;
  const Rounds rounds = rounds_of(launch, cut);
  p.kv_len = static_cast<int32_t>(longest(launch));
  p.tiles = static_cast<int32_t>(ceil_div(longest(launch), schedule.tile));
  p.whole = rounds.whole;
  p.first_whole = rounds.left_over;
  p.cut_blocks = rounds.left_over * rounds.parts;
  p.parts = make_divisor(rounds.parts);
  const int32_t cut_tiles = p.tiles - rounds.end_tiles;
  p.part_tiles = cut_tiles / rounds.parts;
  p.part_rest = cut_tiles % rounds.parts;
  p.end_tiles = rounds.end_tiles;
  p.ends = rounds.ends;
  p.ends_rest = rounds.left_over - rounds.spare * (rounds.ends - 1);
  p.spare = rounds.spare;
  p.units = make_divisor(problem.kv_heads * ceil_div(problem.group, schedule.heads));
  p.one_launch = cut && x.prepared_workspace;
  p.keeps = keeps(launch, rounds);
  p.paced_from = paced_from(launch, p.keeps);
  p.looks_every = looks_every(schedule);
  p.free_lead = free_lead(problem, rounds);
  p.group = static_cast<int32_t>(problem.group);
  p.head_dim = static_cast<int32_t>(problem.head_dim);
  p.score_factor = problem.scale * kLog2E;
  p.q_stride_batch = x.q_strides.batch;
  p.q_stride_head = x.q_strides.head;
  p.row_quads = make_divisor(problem.head_dim_v / 4);
  p.half_lanes = make_divisor(kThreads / 2 / schedule.heads);
  p.block_lanes = make_divisor(kThreads / schedule.heads);
  p.slot_quads = static_cast<int32_t>(schedule.heads * problem.head_dim_v / 4);
  p.shares = share_columns(rounds.parts, rounds.parts + (rounds.end_tiles > 0 ? 1 : 0),
                           p.slot_quads, ceil_log2(kThreads));
  p.stripe_log = stripe_log_of(p.shares);
  p.o_stride_batch = x.o_strides.batch;
  p.o_stride_head = x.o_strides.head;
  p.lse_stride_batch = x.lse_stride_batch;
  p.lse_stride_head = x.lse_stride_head;
}

// How far a block folds splits of the length that the host knows.
inline int node_level_of(const TensorParams& p) {
  const int splits = p.kv_len > 0 ? static_cast<int>(ceil_div(p.kv_len, p.split_len.value)) : 1;
  const Folding all = {p.batch * splits, splits, p.batch, static_cast<int>(p.units.value)};
  return node_level(p.levels, FoldingCost{all, {p.grid}});
}

// The splits of the plan; or, where nothing may be cut, one that is as long as any sequence.
inline void fill_splits(const Schedule& schedule, bool cut, bool lengths_on_device,
                        TensorParams& p) {
  constexpr int64_t kLongest = INT32_MAX;
  const int64_t split_len = cut ? std::min<int64_t>(schedule.split_len, kLongest) : kLongest;
  p.fixed = split_len != 0;
  p.step_rows = static_cast<int32_t>(schedule.grid / p.units.value);
  p.step_units = static_cast<int32_t>(schedule.grid % p.units.value);
  // If the kernel leads any.  Of the first 32 only: each lane knows one of their lengths.
  p.led = lengths_on_device ? std::min({p.batch, 32, p.step_rows}) : 0;
  if (!p.fixed) return;
  p.split_len = make_divisor(split_len);
  p.grid = make_divisor(schedule.grid);
  p.split_tiles = static_cast<int32_t>(ceil_div(split_len, schedule.tile));
  p.levels = cut ? static_cast<int32_t>(schedule.levels) : 0;
  p.level = lengths_on_device ? -1 : node_level_of(p);
}

// All but the addresses.
inline TensorParams make_tensor_params(const Launch& launch, bool cut) {
  const Problem& problem = launch.plan.problem;
  const Operands& x = launch.operands;
  const Schedule& schedule = launch.plan.schedule;
  TensorParams p = {};
  fill_even(launch, cut, p);
  p.batch = static_cast<int32_t>(problem.batch);
  p.max_kv_len = static_cast<int32_t>(problem.max_kv_len);
  p.page_table_stride = x.page_table_stride;
  if (problem.paged()) p.page = make_divisor(problem.page_size);
  p.num_pages = static_cast<int32_t>(problem.num_pages);
  p.even = problem.group <= schedule.heads && schedule.split_len == 0 && longest(launch) > 0;
  p.may_be_longest =
      !problem.paged() ||
      problem.num_pages >= problem.batch * ceil_div(longest(launch), problem.page_size);
  p.tile_log = ceil_log2(static_cast<int>(schedule.tile));
  fill_splits(schedule, cut, x.kv_len != nullptr, p);
  p.team = make_divisor(schedule.team);
  p.teams = make_divisor(schedule.grid / schedule.team);
  p.turns = make_divisor(p.units.value / schedule.team);
  p.blocks = make_divisor(ceil_div(problem.group, schedule.heads));
  p.block_heads = static_cast<int32_t>(schedule.heads);
  p.restores = x.prepared_workspace;
  p.keeps_spans = problem.group > schedule.heads;
  return p;
}

// Where everything is in this run, but K and V.
inline void aim(const Launch& launch, TensorParams& p) {
  const Operands& x = launch.operands;
  p.q = x.q;
  p.o = x.o;
  p.lse = x.lse;
  p.lse_base2 = x.lse_base2;
  p.kv_lens = x.kv_len;
  p.page_table = x.page_table;
  p.status = x.status;
  p.packets = launch.workspace.packets;
  p.headers = launch.workspace.headers;
  p.attendance = launch.workspace.attendance;
}

// One sequence, of which no block can have too much for the deal of equal lengths.
inline bool is_one(const Launch& launch, const TensorParams& p) {
  const int64_t part = p.whole > 0 ? p.tiles : ceil_div(p.tiles, p.parts.value);
  return launch.plan.problem.batch == 1 && p.even &&
         part * launch.plan.schedule.tile <= kEvenTokens;
}

// Those that have something to do.
inline int64_t even_blocks(const Launch& launch, const EvenParams& p) {
  return p.whole > 0 || p.end_tiles > 0 ? launch.plan.schedule.grid : p.cut_blocks;
}

// As if every sequence were as long as it may be.
inline bool is_paced(const Launch& launch, const EvenParams& p) {
  return is_paced(unit_count(launch.plan.problem, launch.plan.schedule) * p.tiles,
                  kWarps * even_blocks(launch, p), p.paced_from);
}

}  // namespace flashdec::cuda
