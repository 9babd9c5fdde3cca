#include "core/workspace.h"

#include <algorithm>

namespace flashdec {
namespace {

// Appends `count` elements of `size` bytes and returns the offset they begin at.  Saturates, so
// that the planner can see that a schedule is far too large and choose another.
int64_t append(int64_t* end, int64_t count, int64_t size) {
  const int64_t begin = round_up(*end, kWorkspaceAlign);
  const __int128 bytes = static_cast<__int128>(count) * size;
  *end = static_cast<int64_t>(std::min<__int128>(begin + bytes, kMaxWorkspaceBytes));
  return begin;
}

// Where the lengths decide, two slots for every block: of a span only the first and the last unit
// are shared with others, and of units of one length each that is cut has as many parts as blocks,
// and perhaps an end.
WorkspaceLayout lay_out_slots(const Problem& problem, const Schedule& schedule) {
  WorkspaceLayout layout = {};
  const int64_t units = problem.batch * problem.kv_heads * ceil_div(problem.group, schedule.heads);
  const bool fixed = schedule.split_len != 0;
  const int64_t slots = fixed ? most_nodes(schedule, units) : 2 * schedule.grid;
  const int64_t quads = schedule.heads * ceil_div(problem.head_dim_v, 4);
  int64_t end = 0;
  layout.packets = append(&end, slots * quads, 4 * static_cast<int64_t>(sizeof(float)));
  layout.headers = append(&end, slots * quads, sizeof(SoftmaxState));
  layout.attendance = append(&end, 2 + schedule.grid * kBlockWarps, sizeof(uint32_t));
  layout.bytes = round_up(end, kWorkspaceAlign);
  return layout;
}

}  // namespace

WorkspaceLayout lay_out_workspace(const Problem& problem, const Schedule& schedule) {
  WorkspaceLayout layout = {};
  if (schedule.max_splits <= 1) return layout;
  if (schedule.grid != 0) return lay_out_slots(problem, schedule);
  // batch * q_heads and max_splits are below 2^31 each, so their product fits.
  const int64_t parts = problem.batch * problem.q_heads * schedule.max_splits;
  int64_t end = 0;
  layout.states = append(&end, parts, sizeof(SoftmaxState));
  layout.values = append(&end, parts, problem.head_dim_v * static_cast<int64_t>(sizeof(float)));
  layout.bytes = round_up(end, kWorkspaceAlign);
  return layout;
}

Workspace open_workspace(const WorkspaceLayout& layout, void* base) {
  Workspace open = {};
  if (layout.bytes == 0) return open;
  open.base = base;
  auto* bytes = static_cast<unsigned char*>(base);
  const bool slots = layout.headers != layout.packets;
  if (!slots) {
    open.states = reinterpret_cast<SoftmaxState*>(bytes + layout.states);
    open.values = reinterpret_cast<float*>(bytes + layout.values);
    return open;
  }
  open.packets = reinterpret_cast<float*>(bytes + layout.packets);
  open.headers = reinterpret_cast<SoftmaxState*>(bytes + layout.headers);
  open.attendance = reinterpret_cast<uint32_t*>(bytes + layout.attendance);
  return open;
}

}  // namespace flashdec
