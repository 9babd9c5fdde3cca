// decode and decode_lse.

#include <utility>

#include "core/array_checks.h"
#include "core/status.h"
#include "core/workspace.h"
#include "torch/attend.h"
#include "torch/kernels.h"
#include "torch/operands.h"

namespace flashdec::torch {
namespace {

struct Decode {
  Tensor q, k, v, kv_len, page_table, workspace;
  DecodeOptions options;
};

Decode take(Arguments& given, bool with_lse) {
  Decode call;
  call.q = given.tensor();
  call.k = given.tensor();
  call.v = given.tensor();
  call.kv_len = given.optional_tensor();
  call.page_table = given.optional_tensor();
  call.workspace = given.optional_tensor();
  call.options.scale = static_cast<float>(given.optional_number(0.0));
  call.options.axes = given.flag() ? FLASHDEC_AXES_BHSD : FLASHDEC_AXES_BSHD;
  call.options.batch_invariant = given.flag();
  call.options.flags = with_lse && given.flag() ? FLASHDEC_ARGS_BASE2 : 0;
  return call;
}

using DecodeOperands = Operands<Arrays, FLASHDEC_OPERAND_COUNT, operand_name>;

// `holder` keeps what is allocated until the work is enqueued; then PyTorch's allocator gives it to
// others behind that.
Scratch scratch_for(const Plan& plan, const Tensor& workspace, const Array& q, Tensor* holder) {
  Scratch scratch;
  if (needs_no_workspace(plan, &scratch)) return scratch;
  if (!workspace) *holder = make_bytes(q, plan.workspace_bytes + kWorkspaceAlign);
  Array memory;
  read_tensor(workspace ? workspace : *holder, "workspace", &memory);
  scratch = scratch_of(memory, q);
  scratch.prepared = static_cast<bool>(workspace);
  return scratch;
}

// o and, where it is wanted, lse.
void decode_into(Arguments& given, Results& results, bool with_lse) {
  const Decode call = take(given, with_lse);
  refuse_gradients({&call.q, &call.k, &call.v});
  DecodeOperands operands;
  operands.read(FLASHDEC_OPERAND_Q, call.q);
  operands.read(FLASHDEC_OPERAND_K, call.k);
  operands.read(FLASHDEC_OPERAND_V, call.v);
  operands.read(FLASHDEC_OPERAND_KV_LEN, call.kv_len);
  operands.read(FLASHDEC_OPERAND_PAGE_TABLE, call.page_table);
  const Array &q = operands[FLASHDEC_OPERAND_Q], &v = operands[FLASHDEC_OPERAND_V];
  check_ndim("q", q, 3, 3);
  check_float("q", q);
  check_ndim("v", v, 4, 4);
  const int64_t rows[3] = {q.shape[0], q.shape[1], v.shape[3]};
  Tensor o = make_like(q, q.dtype, 3, rows), lse;
  operands.read(FLASHDEC_OPERAND_O, o);
  if (with_lse) lse = make_like(q, FLASHDEC_FLOAT32, 2, rows);
  operands.read(FLASHDEC_OPERAND_LSE, lse);
  const Plan& plan = plan_of(operands.arrays, call.options);
  Tensor holder;
  const Scratch scratch = scratch_for(plan, call.workspace, q, &holder);
  attend(plan, operands.arrays, call.options, scratch, current_stream(q));
  results.push(std::move(o));
  if (with_lse) results.push(std::move(lse));
}

}  // namespace

void decode(Arguments& given, Results& results) {
  decode_into(given, results, false);
}

void decode_lse(Arguments& given, Results& results) {
  decode_into(given, results, true);
}

}  // namespace flashdec::torch
