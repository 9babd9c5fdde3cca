#include "core/schedule.h"

#include <algorithm>

#include "core/status.h"
#include "core/workspace.h"

namespace flashdec {
namespace {

// A split this short costs less to read than to combine.
constexpr int64_t kLeastBalancedSplit = 64;

// The combine reads every split of a row in turn; beyond this it would show.
constexpr int64_t kMostBalancedSplits = 128;

// Bytes a second, between an H100's memory (3.35e12) and an H200's (4.92e12), which serve the same
// multiprocessors best in different ways (docs/kernels.md).
constexpr int64_t kFastMemory = 4'000'000'000'000;

// The heads of a cache are neighbours in memory, so blocks that read the same tokens of several
// heads should do so at the same time: as many as divide a sequence's units and leave few blocks
// idle.
int64_t team_of(int64_t units, int64_t grid) {
  int64_t team = std::min(units, grid);
  const auto serves = [&](int64_t size) {
    return units % size == 0 && grid / size * size * 20 >= grid * 19;
  };
  while (team > 1 && !serves(team))
    --team;
  return team;
}

Schedule grid_of(const Problem& problem, const Kernel& kernel, const CudaDevice& device) {
  Schedule schedule = {};
  schedule.tile = kernel.tile;
  if (!kernel.persistent) return schedule;
  schedule.grid = device.sm_count * kernel.blocks_per_sm;
  schedule.heads = std::min(problem.group, kernel.heads);
  schedule.team = team_of(problem.kv_heads * ceil_div(problem.group, kernel.heads), schedule.grid);
  schedule.slow_memory = device.memory_bandwidth < kFastMemory ? 1 : 0;
  return schedule;
}

Schedule fixed(const Problem& problem, const Kernel& kernel, const CudaDevice& device,
               int64_t split_len) {
  Schedule schedule = grid_of(problem, kernel, device);
  schedule.split_len = split_len;
  schedule.max_splits = ceil_div(problem.max_kv_len, schedule.split_len);
  // A warp's turns go on from one split to the next.
  const bool folds = kernel.persistent && schedule.split_len / kernel.tile % kernel.warps == 0;
  schedule.levels = folds ? kernel.levels : 0;
  return schedule;
}

// Whether the sequences cannot all be as long as they may be: there are no pages for that.
bool must_differ(const Problem& problem) {
  return problem.paged() &&
         problem.num_pages < problem.batch * ceil_div(problem.max_kv_len, problem.page_size);
}

// Blocks that all have as much to do serve better than a few more that have not: up to a twentieth
// of the multiprocessors stay idle for it.  The exceptions are measured (docs/kernels.md): whole
// units in pages where the memory is slow, and parts with ends where it is fast.
int64_t even_grid(const Problem& problem, const Schedule& schedule, int64_t units, int64_t tiles) {
  if (must_differ(problem)) return schedule.grid / schedule.team * schedule.team;
  const bool slow = schedule.slow_memory != 0;
  const bool has_ends = deal_rounds(units, schedule.grid, tiles, true).end_tiles > 0;
  const auto serves = [&](int64_t grid) {
    if (units % grid == 0) return !(slow && problem.paged());
    return grid % units == 0 && tiles % (grid / units * kTurn) == 0 && (slow || !has_ends);
  };
  for (int64_t grid = schedule.grid; grid * 20 >= schedule.grid * 19; --grid)
    if (serves(grid)) return grid;
  return schedule.grid;
}

// A persistent grid cuts units where the lengths make it, when the plan runs.
Schedule dealt(const Problem& problem, const Kernel& kernel, const CudaDevice& device) {
  Schedule schedule = grid_of(problem, kernel, device);
  const int64_t units = problem.kv_heads * ceil_div(problem.group, kernel.heads);
  const int64_t tiles = ceil_div(problem.max_kv_len, kernel.tile);
  schedule.grid = even_grid(problem, schedule, problem.batch * units, tiles);
  if (problem.batch > 1) {
    schedule.max_splits = std::min(schedule.grid, tiles);
  } else {
    const Rounds rounds = deal_rounds(units, schedule.grid, tiles, true);
    schedule.max_splits = rounds.parts + (rounds.end_tiles > 0 ? 1 : 0);
  }
  return schedule;
}

// As many even parts as fill the device once.
Schedule balanced(const Problem& problem, const Kernel& kernel, const CudaDevice& device) {
  if (kernel.persistent) return dealt(problem, kernel, device);
  const int64_t units = problem.batch * problem.kv_heads * ceil_div(problem.group, kernel.heads);
  const int64_t slots = static_cast<int64_t>(device.sm_count) * kernel.blocks_per_sm;
  const int64_t most =
      std::min(kMostBalancedSplits, ceil_div(problem.max_kv_len, kLeastBalancedSplit));
  Schedule schedule = {};
  schedule.tile = kernel.tile;
  schedule.max_splits = std::clamp<int64_t>(slots / units, 1, most);
  return schedule;
}

bool fits(const Problem& problem, const Schedule& schedule, int64_t limit) {
  return lay_out_workspace(problem, schedule).bytes <= limit;
}

// Fewer, longer splits until the workspace fits; one split needs none.
Schedule within(const Problem& problem, const Kernel& kernel, const CudaDevice& device,
                Schedule schedule, int64_t limit) {
  while (schedule.max_splits > 1 && !fits(problem, schedule, limit)) {
    const int64_t fewer = schedule.max_splits - 1 - schedule.max_splits / 16;
    if (schedule.split_len == 0) {
      schedule.max_splits = kernel.persistent ? 1 : fewer;
    } else {
      const int64_t longer = ceil_div(problem.max_kv_len, fewer);
      schedule = fixed(problem, kernel, device, round_up(longer, kernel.tile));
    }
  }
  return schedule;
}

}  // namespace

int64_t fixed_split_len(const Problem& problem, const Choice& choice, const Kernel& kernel) {
  const bool cpu = kernel.backend == FLASHDEC_BACKEND_CPU;
  const int64_t split_len = choice.split_len != 0    ? choice.split_len
                            : choice.batch_invariant ? invariant_split_len(problem.group)
                            : cpu                    ? kCpuSplitLen
                                                     : 0;
  return round_up(split_len, kernel.tile);
}

Schedule make_schedule(const Problem& problem, const Choice& choice, const Kernel& kernel,
                       const Device& device) {
  const bool limited = choice.max_workspace_bytes >= 0;
  const int64_t split_len = fixed_split_len(problem, choice, kernel);
  if (choice.split_len != 0) {
    const Schedule schedule = fixed(problem, kernel, device.cuda, split_len);
    if (limited && !fits(problem, schedule, choice.max_workspace_bytes))
      refuse(FLASHDEC_PREFERENCE_UNMET,
             "split_len %lld needs a workspace of %lld bytes; max_workspace_bytes is %lld",
             static_cast<long long>(choice.split_len),
             static_cast<long long>(lay_out_workspace(problem, schedule).bytes),
             static_cast<long long>(choice.max_workspace_bytes));
    return schedule;
  }
  const Schedule schedule = split_len != 0 ? fixed(problem, kernel, device.cuda, split_len)
                                           : balanced(problem, kernel, device.cuda);
  return limited ? within(problem, kernel, device.cuda, schedule, choice.max_workspace_bytes)
                 : schedule;
}

}  // namespace flashdec
