#include "core/describe.h"

#include <algorithm>

#include "core/array_checks.h"
#include "core/checks.h"
#include "core/problem.h"

namespace flashdec {
namespace {

constexpr uint64_t kMostAlignment = 16;

// The largest power of two, up to 16, that divides every pointer and stride, in bytes.
uint32_t alignment_of(const Arrays& arrays) {
  uint64_t bits = kMostAlignment;
  for (int operand :
       {FLASHDEC_OPERAND_Q, FLASHDEC_OPERAND_K, FLASHDEC_OPERAND_V, FLASHDEC_OPERAND_O}) {
    const Array& x = *arrays.of[operand];
    bits |= reinterpret_cast<uintptr_t>(x.data);
    for (int32_t i = 0; i < x.ndim - 1; ++i)
      if (x.shape[i] > 1) bits |= static_cast<uint64_t>(x.strides[i] * element_size(x.dtype));
  }
  const uint64_t element = element_size(arrays.of[FLASHDEC_OPERAND_Q]->dtype);
  return static_cast<uint32_t>(std::max(bits & -bits, element));
}

const Array& checked(const Arrays& arrays, int operand, int32_t ndim) {
  const Array& x = *arrays.of[operand];
  check_ndim(operand_name(operand), x, ndim, ndim);
  check_float(operand_name(operand), x);
  check_filled(operand_name(operand), x);
  return x;
}

}  // namespace

flashdec_descriptor describe(const Arrays& arrays, uint32_t axes, float scale) {
  const Array& q = checked(arrays, FLASHDEC_OPERAND_Q, 3);
  const Array& k = checked(arrays, FLASHDEC_OPERAND_K, 4);
  const Array& v = checked(arrays, FLASHDEC_OPERAND_V, 4);
  const Array* table = arrays.of[FLASHDEC_OPERAND_PAGE_TABLE];
  const int token_axis = axes == FLASHDEC_AXES_BSHD ? 1 : 2;
  const int64_t tokens = k.shape[token_axis];
  if (v.shape[token_axis] != tokens)
    refuse(FLASHDEC_INVALID_VALUE,
           "k has %lld tokens along axis %d and v %lld; they must have the same", ll(tokens),
           token_axis, ll(v.shape[token_axis]));
  if (table != nullptr) check_ndim("page_table", *table, 2, 2);
  flashdec_descriptor desc = {};
  desc.struct_size = sizeof(desc);
  desc.batch = q.shape[0];
  desc.q_heads = q.shape[1];
  desc.kv_heads = k.shape[3 - token_axis];
  desc.max_kv_len = table != nullptr ? table->shape[1] * tokens : tokens;
  desc.head_dim = q.shape[2];
  desc.head_dim_v = v.shape[3];
  desc.page_size = table != nullptr ? tokens : 0;
  desc.num_pages = table != nullptr ? std::min(k.shape[0], v.shape[0]) : 0;
  desc.scale = scale;
  desc.q_dtype = q.dtype;
  desc.kv_dtype = k.dtype;
  desc.alignment = alignment_of(arrays);
  return desc;
}

}  // namespace flashdec
