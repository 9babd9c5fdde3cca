#include "torch/scratch.h"

#include <algorithm>

#include "core/array_checks.h"
#include "core/array_text.h"
#include "core/status.h"
#include "core/workspace.h"
#include "torch/plans.h"

namespace flashdec::torch {

Scratch::Scratch(const Plan& plan, const Tensor& workspace, const Array& q) {
  const int64_t needed = plan.workspace_bytes;
  if (needed == 0) return;
  if (plan.device < 0) {
    memory_ = host_scratch(needed);
    bytes_ = static_cast<uint64_t>(needed);
    return;
  }
  Array array;
  prepared_ = static_cast<bool>(workspace);
  if (prepared_) {
    read_tensor(workspace, "workspace", &array);
  } else {
    holder_ = make_bytes(q, needed + kWorkspaceAlign, &array);
  }
  take(array, q);
}

// From the first address that will do.
void Scratch::take(const Array& workspace, const Array& q) {
  check_beside("workspace", workspace, "q", q);
  const int64_t size = workspace.type_bits / 8;
  int64_t count = 1;
  for (int32_t i = workspace.ndim - 1; i >= 0; --i) {
    if (workspace.shape[i] > 1 && workspace.strides[i] != count)
      refuse(FLASHDEC_INVALID_STRIDE, "workspace has the strides %s; it must be contiguous",
             shape_text(workspace.strides, workspace.ndim).text);
    count *= workspace.shape[i];
  }
  const uintptr_t start = reinterpret_cast<uintptr_t>(workspace.data);
  const int64_t skipped = round_up(start, kWorkspaceAlign) - start;
  memory_ = static_cast<char*>(workspace.data) + skipped;
  bytes_ = static_cast<uint64_t>(std::max<int64_t>(0, count * size - skipped));
}

}  // namespace flashdec::torch
