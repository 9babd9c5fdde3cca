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

}  // namespace

WorkspaceLayout lay_out_workspace(const Problem& problem, const Schedule& schedule) {
  WorkspaceLayout layout = {0, 0, 0};
  if (schedule.max_splits <= 1) return layout;
  // batch * q_heads and max_splits are below 2^31 each, so their product fits.
  const int64_t parts = problem.batch * problem.q_heads * schedule.max_splits;
  int64_t end = 0;
  layout.states = append(&end, parts, sizeof(SoftmaxState));
  layout.values = append(&end, parts, problem.head_dim_v * static_cast<int64_t>(sizeof(float)));
  layout.bytes = round_up(end, kWorkspaceAlign);
  return layout;
}

Workspace open_workspace(const WorkspaceLayout& layout, void* base) {
  if (layout.bytes == 0) return {nullptr, nullptr};
  auto* bytes = static_cast<unsigned char*>(base);
  return {reinterpret_cast<SoftmaxState*>(bytes + layout.states),
          reinterpret_cast<float*>(bytes + layout.values)};
}

}  // namespace flashdec
