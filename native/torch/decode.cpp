#include "core/array_checks.h"
#include "core/describe.h"
#include "core/run.h"
#include "torch/calls.h"
#include "torch/operands.h"
#include "torch/plans.h"
#include "torch/scratch.h"

namespace flashdec::torch {

Decode::Decode(Arguments& given, bool with_lse)
    : q_(given.tensor()),
      k_(given.tensor()),
      v_(given.tensor()),
      kv_len_(given.optional_tensor()),
      page_table_(given.optional_tensor()),
      workspace_(given.optional_tensor()) {
  options_.scale = static_cast<float>(given.optional_number(0.0));
  options_.axes = given.flag() ? FLASHDEC_AXES_BHSD : FLASHDEC_AXES_BSHD;
  options_.batch_invariant = given.flag();
  options_.with_lse = with_lse;
  options_.base2 = with_lse && given.flag();
}

void Decode::compute(Results* results) const {
  refuse_gradients({&q_, &k_, &v_});
  Operands<Arrays, FLASHDEC_OPERAND_COUNT, operand_name> operands;
  operands.read(FLASHDEC_OPERAND_Q, q_);
  operands.read(FLASHDEC_OPERAND_K, k_);
  operands.read(FLASHDEC_OPERAND_V, v_);
  operands.read(FLASHDEC_OPERAND_KV_LEN, kv_len_);
  operands.read(FLASHDEC_OPERAND_PAGE_TABLE, page_table_);
  const Array &q = operands[FLASHDEC_OPERAND_Q], &v = operands[FLASHDEC_OPERAND_V];
  check_ndim("q", q, 3, 3);
  check_float("q", q);
  check_ndim("v", v, 4, 4);
  const int64_t rows[3] = {q.shape[0], q.shape[1], v.shape[3]};
  results->push(operands.make(FLASHDEC_OPERAND_O, q, q.dtype, 3, rows));
  if (options_.with_lse)
    results->push(operands.make(FLASHDEC_OPERAND_LSE, q, FLASHDEC_FLOAT32, 2, rows));
  const flashdec_descriptor desc = describe(operands.arrays, options_.axes, options_.scale);
  const Plan& plan = plan_for(desc, options_.batch_invariant, checked_cuda_device("q", q));
  const Scratch scratch(plan, workspace_, q);
  flashdec_args args = {};
  args.struct_size = sizeof(args);
  args.flags = (options_.base2 ? FLASHDEC_ARGS_BASE2 : 0) |
               (scratch.prepared() ? FLASHDEC_ARGS_PREPARED_WORKSPACE : 0);
  bind_arrays(plan, options_.axes, operands.arrays, &args);
  run(plan, args, scratch.memory(), scratch.bytes(), current_stream(q));
}

}  // namespace flashdec::torch
