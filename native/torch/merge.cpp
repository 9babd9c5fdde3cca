// Of parts that are one tensor.

#include "core/array_checks.h"
#include "core/bind_merge.h"
#include "core/run.h"
#include "torch/calls.h"
#include "torch/operands.h"

namespace flashdec::torch {
namespace {

const char* name_of(int operand) {
  return merge_operand_name(operand, {false, false});
}

}  // namespace

Merge::Merge(Arguments& given) : o_(given.tensor()), lse_(given.tensor()), base2_(given.flag()) {}

void Merge::compute(Results* results) const {
  refuse_gradients({&o_, &lse_});
  Operands<MergeArrays, FLASHDEC_MERGE_OPERAND_COUNT, name_of> operands;
  operands.read(FLASHDEC_MERGE_OPERAND_PART_O, o_);
  operands.read(FLASHDEC_MERGE_OPERAND_PART_LSE, lse_);
  const Array& parts = operands[FLASHDEC_MERGE_OPERAND_PART_O];
  check_ndim("o", parts, 4, 4);
  check_float("o", parts);
  const int64_t* const rows = parts.shape + 1;
  results->push(operands.make(FLASHDEC_MERGE_OPERAND_O, parts, parts.dtype, 3, rows));
  results->push(operands.make(FLASHDEC_MERGE_OPERAND_LSE, parts, FLASHDEC_FLOAT32, 2, rows));
  flashdec_merge_args args = {};
  args.struct_size = sizeof(args);
  args.flags = base2_ ? FLASHDEC_MERGE_BASE2 : 0;
  bind_merge(operands.arrays, &args);
  merge(args, current_stream(parts));
}

}  // namespace flashdec::torch
