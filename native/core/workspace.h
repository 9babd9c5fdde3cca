// One list of named buffers: it answers the size, then hands out the pointers.
#pragma once

#include <cstdint>

#include "core/problem.h"
#include "core/softmax_state.h"
#include "core/split.h"

namespace flashdec {

constexpr int64_t kWorkspaceAlign = 256;

// Of a persistent kernel (cuda/tensor/shape.h).
constexpr int kBlockWarps = 8;

// A layout that reaches this is too large for any machine, and is refused.
constexpr int64_t kMaxWorkspaceBytes = int64_t{1} << 60;

struct WorkspaceLayout {
  int64_t states;      // offset of SoftmaxState[batch][q_heads][max_splits]
  int64_t values;      // offset of float[batch][q_heads][max_splits][head_dim_v]
  int64_t packets;     // offset of float[slots][heads][head_dim_v / 4][4]
  int64_t headers;     // offset of SoftmaxState[slots][heads][head_dim_v / 4]
  int64_t attendance;  // offset of uint32_t[2 + blocks * kBlockWarps]
  int64_t bytes;       // 0 where nothing is split
};

WorkspaceLayout lay_out_workspace(const Problem& problem, const Schedule& schedule);

// The partial results of the splits; all null where nothing is split.  Persistent kernels use the
// last three, others the first two.
struct Workspace {
  void* base;
  SoftmaxState* states;
  float* values;
  float* packets;
  SoftmaxState* headers;
  uint32_t* attendance;
};

Workspace open_workspace(const WorkspaceLayout& layout, void* base);

}  // namespace flashdec
