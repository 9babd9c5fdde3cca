// append and append_rotary.

#include <utility>

#include "core/array_checks.h"
#include "core/bind_append.h"
#include "core/run.h"
#include "core/status.h"
#include "torch/kernels.h"
#include "torch/operands.h"

namespace flashdec::torch {
namespace {

// What both take behind the rows of new tokens.
struct Places {
  Tensor k_cache, v_cache, kv_len, page_table, new_len, status;
  uint32_t axes;
  bool advance;
};

Places take_places(Arguments& given) {
  Places places;
  places.k_cache = given.tensor();
  places.v_cache = given.tensor();
  places.kv_len = given.tensor();
  places.page_table = given.optional_tensor();
  places.new_len = given.optional_tensor();
  places.status = given.optional_tensor();
  places.axes = given.flag() ? FLASHDEC_AXES_BHSD : FLASHDEC_AXES_BSHD;
  places.advance = given.flag();
  return places;
}

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

void compute(const Places& places, const AppendOperands& operands, uint32_t flags) {
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
  flashdec::append(args, current_stream(operands[FLASHDEC_APPEND_OPERAND_K]));
  for (const Written& each : written)
    if (each.tensor) tell_of_write(each.tensor);
}

}  // namespace

void append(Arguments& given, Results&) {
  const Tensor k = given.tensor(), v = given.tensor();
  const Places places = take_places(given);
  refuse_gradients({&k, &v, &places.k_cache, &places.v_cache});
  AppendOperands operands;
  operands.read(FLASHDEC_APPEND_OPERAND_K, k);
  operands.read(FLASHDEC_APPEND_OPERAND_V, v);
  read(places, &operands);
  compute(places, operands, 0);
}

void append_rotary(Arguments& given, Results& results) {
  const Tensor q = given.tensor(), k = given.tensor(), v = given.tensor(), cos = given.tensor(),
               sin = given.tensor();
  const Places places = take_places(given);
  const Tensor positions = given.optional_tensor();
  const uint32_t flags = given.flag() ? FLASHDEC_APPEND_INTERLEAVED : 0;
  refuse_gradients({&q, &k, &v, &cos, &sin, &places.k_cache, &places.v_cache});
  AppendOperands operands;
  operands.read(FLASHDEC_APPEND_OPERAND_Q, q);
  operands.read(FLASHDEC_APPEND_OPERAND_K, k);
  operands.read(FLASHDEC_APPEND_OPERAND_V, v);
  operands.read(FLASHDEC_APPEND_OPERAND_COS, cos);
  operands.read(FLASHDEC_APPEND_OPERAND_SIN, sin);
  operands.read(FLASHDEC_APPEND_OPERAND_POSITIONS, positions);
  read(places, &operands);
  const Array& read_q = operands[FLASHDEC_APPEND_OPERAND_Q];
  check_float("q", read_q);
  Tensor out = make_like(read_q, read_q.dtype, read_q.ndim, read_q.shape);
  operands.read(FLASHDEC_APPEND_OPERAND_Q_OUT, out);
  compute(places, operands, flags);
  results.push(std::move(out));
}

}  // namespace flashdec::torch
