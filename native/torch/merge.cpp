// merge, of parts that are one tensor.

#include <utility>

#include "core/array_checks.h"
#include "core/bind_merge.h"
#include "core/run.h"
#include "torch/kernels.h"

namespace flashdec::torch {

void merge(Arguments& given, Results& results) {
  const Tensor o = given.tensor(), lse = given.tensor();
  const bool base2 = given.flag();
  refuse_gradients({&o, &lse});
  Array parts, part_lse, merged, merged_lse;
  read_tensor(o, "o", &parts);
  read_tensor(lse, "lse", &part_lse);
  check_ndim("o", parts, 4, 4);
  check_float("o", parts);
  Tensor out = make_like(parts, parts.dtype, 3, parts.shape + 1);
  Tensor lse_out = make_like(parts, FLASHDEC_FLOAT32, 2, parts.shape + 1);
  read_tensor(out, "out", &merged);
  read_tensor(lse_out, "lse_out", &merged_lse);
  MergeArrays arrays = {};
  arrays.of[FLASHDEC_MERGE_OPERAND_PART_O] = &parts;
  arrays.of[FLASHDEC_MERGE_OPERAND_PART_LSE] = &part_lse;
  arrays.of[FLASHDEC_MERGE_OPERAND_O] = &merged;
  arrays.of[FLASHDEC_MERGE_OPERAND_LSE] = &merged_lse;
  flashdec_merge_args args = {};
  args.struct_size = sizeof(args);
  args.flags = base2 ? FLASHDEC_MERGE_BASE2 : 0;
  bind_merge(arrays, &args);
  flashdec::merge(args, current_stream(parts));
  results.push(std::move(out));
  results.push(std::move(lse_out));
}

}  // namespace flashdec::torch
