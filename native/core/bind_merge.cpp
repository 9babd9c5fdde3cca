#include "core/bind_merge.h"

#include "core/array_checks.h"
#include "core/array_text.h"
#include "core/problem.h"
#include "core/status.h"

namespace flashdec {
namespace {

enum Operand {
  kPartO = FLASHDEC_MERGE_OPERAND_PART_O,
  kPartLse = FLASHDEC_MERGE_OPERAND_PART_LSE,
  kO = FLASHDEC_MERGE_OPERAND_O,
  kLse = FLASHDEC_MERGE_OPERAND_LSE,
  kOtherO = FLASHDEC_MERGE_OPERAND_OTHER_O,
  kOtherLse = FLASHDEC_MERGE_OPERAND_OTHER_LSE,
};

constexpr const char* kNames[FLASHDEC_MERGE_OPERAND_COUNT] = {"o",       "lse",  "out",
                                                              "lse_out", "o[1]", "lse[1]"};
constexpr const char* kPairNames[FLASHDEC_MERGE_OPERAND_COUNT] = {"o[0]",    "lse[0]", "out",
                                                                  "lse_out", "o[1]",   "lse[1]"};

constexpr bool kIsRows[FLASHDEC_MERGE_OPERAND_COUNT] = {true, false, true, false, true, false};

// Both of a pair, or parts that are one array: where the first is, and the rest by strides.
struct Parts {
  const Array* first;
  int64_t count;
  int64_t stride;
  const int64_t* shape;    // of one: batch, heads, ...
  const int64_t* strides;  // the same
};

bool have_same_layout(const Array& x, const Array& y) {
  bool same = x.dtype == y.dtype && x.ndim == y.ndim;
  for (int32_t i = 0; same && i < x.ndim; ++i)
    same = x.shape[i] == y.shape[i] && (x.shape[i] == 1 || x.strides[i] == y.strides[i]);
  return same;
}

Parts parts_of(const MergeArrays& arrays, int one, int other) {
  const Array& first = *arrays.of[one];
  const Array* second = arrays.of[other];
  if (second == nullptr)
    return {&first, first.shape[0], first.strides[0], first.shape + 1, first.strides + 1};
  if (!have_same_layout(first, *second))
    refuse(FLASHDEC_INVALID_VALUE,
           "%s has shape %s, strides %s and type %s, and %s %s, %s and %s; they must be the same",
           kPairNames[one], shape_text(first.shape, first.ndim).text,
           shape_text(first.strides, first.ndim).text, type_name(first).text, kPairNames[other],
           shape_text(second->shape, second->ndim).text,
           shape_text(second->strides, second->ndim).text, type_name(*second).text);
  const int64_t size = element_size(first.dtype);
  const int64_t apart = static_cast<const char*>(second->data) - static_cast<char*>(first.data);
  if (apart % size != 0)
    refuse(FLASHDEC_MISALIGNED, "%s is %lld bytes from %s; it must be a multiple of %lld",
           kPairNames[other], static_cast<long long>(apart), kPairNames[one],
           static_cast<long long>(size));
  return {&first, 2, apart / size, first.shape, first.strides};
}

// The operands of o or of lse, among those of the parts.
bool is_of_o(int operand) {
  return operand == kPartO || operand == kOtherO;
}

void check_arrays(const MergeArrays& arrays, const MergePairs& pairs) {
  const Array* first = arrays.of[kPartO];
  for (int i = 0; i < FLASHDEC_MERGE_OPERAND_COUNT; ++i) {
    const char* name = merge_operand_name(i, pairs);
    const bool output = i == kO || i == kLse, second = i == kOtherO || i == kOtherLse;
    if (arrays.of[i] == nullptr) {
      if (i != kLse && !second)
        refuse(FLASHDEC_NULL_POINTER, "%s is missing; it is required", name);
      continue;
    }
    const Array& x = *arrays.of[i];
    const bool all_parts = !output && !(is_of_o(i) ? pairs.o : pairs.lse);
    const int32_t rank = (kIsRows[i] ? 3 : 2) + (all_parts ? 1 : 0);
    check_ndim(name, x, rank, rank);
    check_float(name, x);
    check_filled(name, x);
    if (kIsRows[i]) check_packed(name, x);
    if (output) check_writable(name, x);
    check_memory(name, x);
    check_beside(name, x, merge_operand_name(kPartO, pairs), *first);
  }
}

}  // namespace

const char* merge_operand_name(int operand, const MergePairs& pairs) {
  return (is_of_o(operand) ? pairs.o : pairs.lse) ? kPairNames[operand] : kNames[operand];
}

void bind_merge(const MergeArrays& arrays, flashdec_merge_args* args) {
  if (arrays.of[kPartO] == nullptr) refuse(FLASHDEC_NULL_POINTER, "o is missing; it is required");
  const MergePairs pairs = {arrays.of[kOtherO] != nullptr, arrays.of[kOtherLse] != nullptr};
  check_arrays(arrays, pairs);
  const Parts o = parts_of(arrays, kPartO, kOtherO);
  const Parts lse = parts_of(arrays, kPartLse, kOtherLse);
  const int64_t rows[3] = {o.count, o.shape[0], o.shape[1]};
  const int64_t lse_rows[3] = {lse.count, lse.shape[0], lse.shape[1]};
  for (int i = 0; i < 3; ++i)
    if (rows[i] != lse_rows[i])
      refuse(FLASHDEC_INVALID_VALUE, "lse has the shape %s and o %s; that of lse must be %s",
             shape_text(lse_rows, 3).text, shape_text(o.first->shape, o.first->ndim).text,
             shape_text(rows, 3).text);
  const int32_t device = checked_cuda_device(merge_operand_name(kPartO, pairs), *o.first);
  args->backend = device >= 0 ? FLASHDEC_BACKEND_CUDA : FLASHDEC_BACKEND_CPU;
  args->device = device >= 0 ? device : 0;
  const Array &out = *arrays.of[kO], *lse_out = arrays.of[kLse];
  check_shape("out", out, o.shape, 3);
  args->part_o_dtype = o.first->dtype;
  args->part_lse_dtype = lse.first->dtype;
  args->o_dtype = out.dtype;
  args->parts = o.count;
  args->batch = o.shape[0];
  args->heads = o.shape[1];
  args->head_dim = o.shape[2];
  args->part_o = o.first->data;
  args->part_lse = lse.first->data;
  args->o = out.data;
  args->part_o_stride_part = o.stride;
  args->part_o_stride_batch = o.strides[0];
  args->part_o_stride_head = o.strides[1];
  args->part_lse_stride_part = lse.stride;
  args->part_lse_stride_batch = lse.strides[0];
  args->part_lse_stride_head = lse.strides[1];
  args->o_stride_batch = out.strides[0];
  args->o_stride_head = out.strides[1];
  if (lse_out == nullptr) return;
  check_shape("lse_out", *lse_out, o.shape, 2);
  if (lse_out->dtype != FLASHDEC_FLOAT32)
    refuse(FLASHDEC_INVALID_VALUE, "lse_out has elements of type %s; it must be float32",
           type_name(*lse_out).text);
  args->lse = static_cast<float*>(lse_out->data);
  args->lse_stride_batch = lse_out->strides[0];
  args->lse_stride_head = lse_out->strides[1];
}

}  // namespace flashdec
