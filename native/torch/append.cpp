#include "core/array_checks.h"
#include "core/bind_append.h"
#include "core/run.h"
#include "torch/calls.h"
#include "torch/operands.h"

namespace flashdec::torch {
namespace {

using AppendOperands = Operands<AppendArrays, FLASHDEC_APPEND_OPERAND_COUNT, append_operand_name>;

void read(const Places& places, AppendOperands* operands) {
  operands->read(FLASHDEC_APPEND_OPERAND_K_CACHE, places.k_cache);
  operands->read(FLASHDEC_APPEND_OPERAND_V_CACHE, places.v_cache);
  operands->read(FLASHDEC_APPEND_OPERAND_KV_LEN, places.kv_len);
  operands->read(FLASHDEC_APPEND_OPERAND_PAGE_TABLE, places.page_table);
  operands->read(FLASHDEC_APPEND_OPERAND_NEW_LEN, places.new_len);
  operands->read(FLASHDEC_APPEND_OPERAND_STATUS, places.status);
}

struct Written {
  const Tensor& tensor;
  const char* name;
};

void write(const Places& places, const AppendOperands& operands, uint32_t flags) {
  const Tensor none;
  const Written written[] = {
      {places.k_cache, "k_cache"},
      {places.v_cache, "v_cache"},
      {places.advance ? places.kv_len : none, "kv_len"},
      {places.status, "status"},
  };
  for (const Written& each : written)
    if (each.tensor) check_may_write(each.tensor, each.name);
  flashdec_append_args args = {};
  args.struct_size = sizeof(args);
  args.flags = flags | (places.advance ? FLASHDEC_APPEND_ADVANCE : 0);
  bind_append(places.axes, operands.arrays, &args);
  append(args, current_stream(operands[FLASHDEC_APPEND_OPERAND_K]));
  for (const Written& each : written)
    if (each.tensor) tell_of_write(each.tensor);
}

}  // namespace

Places::Places(Arguments& given)
    : k_cache(given.tensor()),
      v_cache(given.tensor()),
      kv_len(given.tensor()),
      page_table(given.optional_tensor()),
      new_len(given.optional_tensor()),
      status(given.optional_tensor()),
      axes(given.flag() ? FLASHDEC_AXES_BHSD : FLASHDEC_AXES_BSHD),
      advance(given.flag()) {}

Append::Append(Arguments& given) : k_(given.tensor()), v_(given.tensor()), places_(given) {}

void Append::compute(Results*) const {
  refuse_gradients({&k_, &v_, &places_.k_cache, &places_.v_cache});
  AppendOperands operands;
  operands.read(FLASHDEC_APPEND_OPERAND_K, k_);
  operands.read(FLASHDEC_APPEND_OPERAND_V, v_);
  read(places_, &operands);
  write(places_, operands, 0);
}

AppendRotary::AppendRotary(Arguments& given)
    : q_(given.tensor()),
      k_(given.tensor()),
      v_(given.tensor()),
      cos_(given.tensor()),
      sin_(given.tensor()),
      places_(given),
      positions_(given.optional_tensor()),
      interleaved_(given.flag()) {}

void AppendRotary::compute(Results* results) const {
  refuse_gradients({&q_, &k_, &v_, &cos_, &sin_, &places_.k_cache, &places_.v_cache});
  AppendOperands operands;
  operands.read(FLASHDEC_APPEND_OPERAND_Q, q_);
  operands.read(FLASHDEC_APPEND_OPERAND_K, k_);
  operands.read(FLASHDEC_APPEND_OPERAND_V, v_);
  operands.read(FLASHDEC_APPEND_OPERAND_COS, cos_);
  operands.read(FLASHDEC_APPEND_OPERAND_SIN, sin_);
  operands.read(FLASHDEC_APPEND_OPERAND_POSITIONS, positions_);
  read(places_, &operands);
  const Array& q = operands[FLASHDEC_APPEND_OPERAND_Q];
  check_float("q", q);
  results->push(operands.make(FLASHDEC_APPEND_OPERAND_Q_OUT, q, q.dtype, q.ndim, q.shape));
  write(places_, operands, interleaved_ ? FLASHDEC_APPEND_INTERLEAVED : 0);
}

}  // namespace flashdec::torch
