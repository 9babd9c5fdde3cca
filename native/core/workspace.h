// One list of named buffers: it answers the size, then hands out the pointers.
#pragma once

#include <cstdint>

#include "core/problem.h"
#include "core/softmax_state.h"
#include "core/split.h"

namespace flashdec {

constexpr int64_t kWorkspaceAlign = 256;

// A layout that reaches this is too large for any machine, and is refused.
constexpr int64_t kMaxWorkspaceBytes = int64_t{1} << 60;

struct WorkspaceLayout {
  int64_t states;  // offset of SoftmaxState[batch][q_heads][max_splits]
  int64_t values;  // offset of float[batch][q_heads][max_splits][head_dim_v]
  int64_t bytes;   // 0 where nothing is split
};

WorkspaceLayout lay_out_workspace(const Problem& problem, const Schedule& schedule);

// The partial results of the splits; both null where nothing is split.
struct Workspace {
  SoftmaxState* states;
  float* values;
};

Workspace open_workspace(const WorkspaceLayout& layout, void* base);

}  // namespace flashdec
