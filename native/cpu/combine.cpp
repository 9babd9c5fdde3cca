#include "cpu/combine.h"

#include <algorithm>
#include <cmath>

#include "core/convert.h"
#include "core/plan.h"
#include "cpu/rows.h"

namespace flashdec::cpu {
namespace {

constexpr int64_t kMaxRow = 256;

template <class E>
void store_row(const float* o, float l, int64_t count, void* target) {
  for (int64_t d = 0; d < count; ++d)
    from_float(o[d] / l, static_cast<E*>(target) + d);
}

float largest_score(const SoftmaxState* states, int64_t splits) {
  float m = states[0].m;
  for (int64_t split = 1; split < splits; ++split)
    m = fmaxf(m, states[split].m);  // drops a NaN, but the factors do not
  return m;
}

}  // namespace

void combine_row(const Launch& launch, int64_t sequence, int64_t head, int64_t splits) {
  const int64_t count = launch.plan.problem.head_dim_v;
  const int64_t first = part_index(launch, sequence, head, 0);
  const SoftmaxState* states = launch.workspace.states + first;
  const float* values = launch.workspace.values + first * count;
  const float m = largest_score(states, splits);
  float o[kMaxRow], error[kMaxRow];  // CompensatedSums, apart so that compilers vectorise them
  std::fill_n(o, count, 0.0f);
  std::fill_n(error, count, 0.0f);
  CompensatedSum l = {};
  for (int64_t split = 0; split < splits; ++split) {
    const float factor = rescale_factor(states[split].m, m);
    l = add(l, states[split].l * factor);
    for (int64_t d = 0; d < count; ++d) {
      const CompensatedSum sum = add({o[d], error[d]}, values[split * count + d] * factor);
      o[d] = sum.value;
      error[d] = sum.error;
    }
  }
  const SoftmaxState state = {m, l.value};
  void* target = output_row(launch, sequence, head);
  switch (launch.plan.problem.element) {
    case FLASHDEC_FLOAT16:
      store_row<F16>(o, state.l, count, target);
      break;
    case FLASHDEC_BFLOAT16:
      store_row<Bf16>(o, state.l, count, target);
      break;
    default:
      store_row<float>(o, state.l, count, target);
      break;
  }
  store_lse(launch, sequence, head, state);
}

}  // namespace flashdec::cpu
