#include "torch/attend.h"

#include <algorithm>

#include "core/array_checks.h"
#include "core/array_text.h"
#include "core/describe.h"
#include "core/run.h"
#include "core/status.h"
#include "core/workspace.h"
#include "torch/plans.h"

namespace flashdec::torch {

const Plan& plan_of(const Arrays& arrays, const DecodeOptions& options) {
  const flashdec_descriptor desc = describe(arrays, options.axes, options.scale);
  const int32_t device = checked_cuda_device("q", *arrays.of[FLASHDEC_OPERAND_Q]);
  return plan_for(desc, options.batch_invariant, device);
}

bool needs_no_workspace(const Plan& plan, Scratch* scratch) {
  const int64_t bytes = plan.workspace_bytes;
  if (bytes != 0 && plan.device >= 0) return false;
  *scratch = {bytes != 0 ? host_scratch(bytes) : nullptr, static_cast<uint64_t>(bytes), false};
  return true;
}

Scratch scratch_of(const Array& workspace, const Array& q) {
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
  return {static_cast<char*>(workspace.data) + skipped,
          static_cast<uint64_t>(std::max<int64_t>(0, count * size - skipped)), true};
}

void attend(const Plan& plan, const Arrays& arrays, const DecodeOptions& options,
            const Scratch& scratch, CUstream_st* stream) {
  flashdec_args args = {};
  args.struct_size = sizeof(args);
  args.flags = options.flags | (scratch.prepared ? FLASHDEC_ARGS_PREPARED_WORKSPACE : 0);
  bind_arrays(plan, options.axes, arrays, &args);
  run(plan, args, scratch.memory, scratch.bytes, stream);
}

}  // namespace flashdec::torch
