// The host's side of the tensor-core split kernels.
#pragma once

#include <algorithm>

#include "core/plan.h"
#include "core/status.h"
#include "cuda/combine/combine.h"
#include "cuda/enqueue.h"
#include "cuda/launch.h"
#include "cuda/tensor/even.cuh"
#include "cuda/tensor/split.cuh"

namespace flashdec::cuda {

inline int64_t unit_count(const Problem& problem, const Schedule& schedule) {
  return problem.batch * problem.kv_heads * ceil_div(problem.group, schedule.heads);
}

// Whether units may be cut in this run.  Lengths on the device decide there; one length for all is
// known here.
inline bool may_cut(const Launch& launch) {
  const Schedule& schedule = launch.plan.schedule;
  if (schedule.max_splits <= 1) return false;
  if (schedule.split_len != 0)
    return launch.operands.kv_len != nullptr || launch.operands.uniform_kv_len > schedule.split_len;
  if (launch.operands.kv_len != nullptr) return true;
  const int64_t tiles = ceil_div(launch.operands.uniform_kv_len, schedule.tile);
  const int64_t units = unit_count(launch.plan.problem, schedule);
  return deal_rounds(units, schedule.grid, tiles, true).parts > 1;
}

inline Rounds rounds_of(const Launch& launch, bool cut) {
  const Schedule& schedule = launch.plan.schedule;
  const int64_t tiles = ceil_div(launch.operands.uniform_kv_len, schedule.tile);
  return deal_rounds(unit_count(launch.plan.problem, schedule), schedule.grid, tiles, cut);
}

// Of a kernel, what the schedule must know.
struct KernelShape {
  int heads;
  int threads;
};

inline void fill_even(const Launch& launch, bool cut, int threads, EvenParams& p) {
  const Problem& problem = launch.plan.problem;
  const Operands& x = launch.operands;
  const Schedule& schedule = launch.plan.schedule;
  const Rounds rounds = rounds_of(launch, cut);
  p.kv_len = static_cast<int32_t>(x.uniform_kv_len);
  p.tiles = static_cast<int32_t>(ceil_div(x.uniform_kv_len, schedule.tile));
  p.whole = rounds.whole;
  p.first_cut = static_cast<int32_t>(rounds.whole * schedule.grid);
  p.cut_blocks = rounds.left_over * rounds.parts;
  p.parts = make_divisor(rounds.parts);
  p.part_tiles = p.tiles / rounds.parts;
  p.part_rest = p.tiles % rounds.parts;
  p.units = make_divisor(problem.kv_heads * ceil_div(problem.group, schedule.heads));
  p.one_launch = cut && x.prepared_workspace;
  p.group = static_cast<int32_t>(problem.group);
  p.head_dim = static_cast<int32_t>(problem.head_dim);
  p.score_factor = problem.scale * kLog2E;
  p.q = x.q;
  p.q_stride_batch = x.q_strides.batch;
  p.q_stride_head = x.q_strides.head;
  p.row_quads = make_divisor(problem.head_dim_v / 4);
  p.block_lanes = make_divisor(threads / schedule.heads);
  p.warp_lanes = make_divisor(32 / schedule.heads);
  p.slot_quads = static_cast<int32_t>(schedule.heads * problem.head_dim_v / 4);
  p.shares = share_columns(rounds.parts, p.slot_quads, ceil_log2(threads));
  p.o = x.o;
  p.o_stride_batch = x.o_strides.batch;
  p.o_stride_head = x.o_strides.head;
  p.lse = x.lse;
  p.lse_stride_batch = x.lse_stride_batch;
  p.lse_stride_head = x.lse_stride_head;
  p.packets = launch.workspace.packets;
  p.headers = launch.workspace.headers;
}

inline TensorParams make_tensor_params(const Launch& launch, bool cut, const KernelShape& shape) {
  const Problem& problem = launch.plan.problem;
  const Operands& x = launch.operands;
  const Schedule& schedule = launch.plan.schedule;
  TensorParams p = {};
  fill_even(launch, cut, shape.threads, p);
  const bool by_lengths = cut && x.kv_len != nullptr;
  p.deal = schedule.split_len != 0 ? Deal::kSplits : by_lengths ? Deal::kByLengths : Deal::kRounds;
  p.kv_lens = x.kv_len;
  p.rounds = rounds_of(launch, cut);
  const int warps = shape.threads / 32;
  p.even = problem.group <= shape.heads &&
           (schedule.split_len == 0 || (schedule.split_len % (schedule.tile * warps) == 0 &&
                                        schedule.split_len <= kEvenTokens));
  p.most_parts =
      cut && p.rounds.left_over > 0 ? static_cast<int32_t>(schedule.grid) / p.rounds.left_over : 1;
  p.team = make_divisor(schedule.team);
  p.teams = make_divisor(schedule.grid / schedule.team);
  p.team_units = static_cast<int32_t>(p.units.value / schedule.team);
  p.all_units = make_divisor(unit_count(problem, schedule));
  p.grid = make_divisor(schedule.grid);
  p.block_heads = static_cast<int32_t>(schedule.heads);
  p.tile_log = ceil_log2(static_cast<int>(schedule.tile));
  p.batch = static_cast<int32_t>(problem.batch);
  p.max_kv_len = static_cast<int32_t>(problem.max_kv_len);
  p.blocks = make_divisor(ceil_div(problem.group, schedule.heads));
  if (problem.paged()) p.page = make_divisor(problem.page_size);
  p.page_table = x.page_table;
  p.page_table_stride = x.page_table_stride;
  p.num_pages = static_cast<int32_t>(problem.num_pages);
  p.q_heads = static_cast<int32_t>(problem.q_heads);
  if (schedule.split_len != 0) p.split_len = make_divisor(schedule.split_len);  // up to 2^31
  p.split_tiles = static_cast<int32_t>(schedule.split_len / schedule.tile);
  p.levels = static_cast<int32_t>(schedule.levels);
  p.may_cut = cut;
  p.restores = x.prepared_workspace;
  p.status = x.status;
  p.records = launch.workspace.records;
  return p;
}

// Tokens that one block takes of one unit, at most.
inline int64_t longest_part(const Launch& launch) {
  const Rounds rounds = rounds_of(launch, may_cut(launch));
  const int64_t len = launch.operands.uniform_kv_len;
  return rounds.whole > 0 ? len : ceil_div(len, rounds.parts);
}

// The kernel for one length for all, known to the host: half the instructions of the other.
inline bool is_even(const Launch& launch, int heads) {
  const Problem& problem = launch.plan.problem;
  const Operands& x = launch.operands;
  return launch.plan.schedule.split_len == 0 && x.kv_len == nullptr && !problem.paged() &&
         problem.group <= heads && x.uniform_kv_len > 0 && longest_part(launch) <= kEvenTokens;
}

// Enqueues a split kernel: in one launch, if the blocks can be resident together; where they cannot
// (a part of the device only), parts are left for a second one.
template <class Params>
void enqueue_split(const Launch& launch, Start start, Params& params) {
  start.together = params.one_launch;
  if (enqueue(start, launch.stream)) return;
  params.one_launch = start.together = false;
  enqueue(start, launch.stream);
}

template <class E, class Shape, class Copy>
void launch_any(const Launch& launch, typename Copy::Source& source) {
  static KernelSetup setup;
  const Schedule& schedule = launch.plan.schedule;
  TensorParams params =
      make_tensor_params(launch, may_cut(launch), {Shape::kHeads, Shape::kThreads});
  void* arguments[] = {&params, &source};
  enqueue_split(
      launch,
      setup.start(reinterpret_cast<const void*>(tensor_split<E, Shape, Copy>),
                  {schedule.grid, Shape::kThreads, Shape::kSmem + Shape::kFoldBytes, arguments}),
      params);
  if (!params.may_cut || params.one_launch) return;
  if (schedule.split_len != 0) {
    combine_tree(launch, params);
  } else {
    combine_parts(launch, params, Shape::kThreads);
  }
}

template <class E, class Shape, class Copy>
void launch_even(const Launch& launch, typename Copy::Source& source) {
  static KernelSetup setup;
  EvenParams params = {};
  const bool cut = may_cut(launch);
  fill_even(launch, cut, Shape::kThreads, params);
  void* arguments[] = {&params, &source};
  const int64_t blocks = params.whole > 0 ? launch.plan.schedule.grid : params.cut_blocks;
  enqueue_split(launch,
                setup.start(reinterpret_cast<const void*>(even_split<E, Shape, Copy>),
                            {blocks, Shape::kThreads, Shape::kSmem, arguments}),
                params);
  if (cut && !params.one_launch) combine_even(launch, params, Shape::kThreads);
}

template <class E, class Shape, class Copy>
void launch_tensor(const Launch& launch, typename Copy::Source source) {
  if (is_even(launch, Shape::kHeads)) return launch_even<E, Shape, Copy>(launch, source);
  launch_any<E, Shape, Copy>(launch, source);
}

}  // namespace flashdec::cuda
