#include "core/run.h"

#include "core/validate.h"
#include "core/workspace.h"

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

}  // namespace flashdec
