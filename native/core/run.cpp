#include "core/run.h"

#include "core/append.h"
#include "core/merge.h"
#include "core/validate.h"
#include "core/workspace.h"
#include "cpu/append.h"
#include "cpu/merge.h"
#include "cuda/backend.h"

namespace flashdec {

void run(const Plan& plan, const flashdec_args& args, void* workspace, uint64_t bytes,
         CUstream_st* stream) {
  const Operands operands = validate(plan, args);
  validate_workspace(plan, workspace, bytes);
  validate_stream(plan.device < 0, stream);
  const WorkspaceLayout layout = lay_out_workspace(plan.problem, plan.schedule);
  const Workspace parts = open_workspace(layout, workspace);
  plan.row().run({plan, operands, parts, stream});
}

void append(const flashdec_append_args& args, CUstream_st* stream) {
  const Append checked = validate(args);
  validate_stream(checked.device < 0, stream);
  if (checked.device < 0) return cpu::append(checked);
  cuda::append(checked, stream);
}

void merge(const flashdec_merge_args& args, CUstream_st* stream) {
  const Merge checked = validate(args);
  validate_stream(checked.device < 0, stream);
  if (checked.device < 0) return cpu::merge(checked);
  cuda::merge(checked, stream);
}

}  // namespace flashdec
