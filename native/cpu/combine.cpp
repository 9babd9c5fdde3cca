#include "cpu/combine.h"

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

}  // namespace

void combine_row(const Launch& launch, int64_t sequence, int64_t head, int64_t splits) {
  const int64_t count = launch.plan.problem.head_dim_v;
  const int64_t first = part_index(launch, sequence, head, 0);
  const SoftmaxState* states = launch.workspace.states + first;
  const float* values = launch.workspace.values + first * count;
  float o[kMaxRow];
  for (int64_t d = 0; d < count; ++d)
    o[d] = values[d];
  SoftmaxState state = states[0];
  for (int64_t split = 1; split < splits; ++split) {
    float keep, add;
    state = merge_states(state, states[split], &keep, &add);
    const float* part = values + split * count;
    for (int64_t d = 0; d < count; ++d)
      o[d] = o[d] * keep + part[d] * add;
  }
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
