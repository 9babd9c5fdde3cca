// The partial results of a row's splits into its output, in the order of the splits.
#pragma once

#include "core/plan.h"
#include "cpu/compensated.h"
#include "cpu/rows.h"

namespace flashdec::cpu {
namespace {

template <class V, class E>
struct Combining {
  using Values = Chunk<V, float>;
  static constexpr int W = V::kWidth;

  static void combine(const Launch& launch, int64_t sequence, int64_t head, int64_t splits) {
    const int64_t count = launch.plan.problem.head_dim_v;
    const int64_t first = part_index(launch, sequence, head, 0);
    const SoftmaxState* const states = launch.workspace.states + first;
    const float* const values = launch.workspace.values + first * count;
    const float m = largest_score(states, splits);
    alignas(64) float o[kMaxRow] = {}, error[kMaxRow] = {};
    CompensatedSum l = {};
    for (int64_t split = 0; split < splits; ++split) {
      const float factor = rescale_factor(states[split].m, m);
      l = add(l, states[split].l * factor);
      add_part(values + split * count, factor, count, o, error);
    }
    E* const row = static_cast<E*>(output_row(launch, sequence, head));
    const typename V::F divisor = V::broadcast(l.value);
    for (int64_t d = 0; d < count; d += Values::kLength)
      Values{V::div(V::load(o + d), divisor), V::div(V::load(o + d + W), divisor)}.store_at(row, d,
                                                                                            count);
    store_lse(launch, sequence, head, {m, l.value});
  }

 private:
  static float largest_score(const SoftmaxState* states, int64_t splits) {
    float m = states[0].m;
    for (int64_t split = 1; split < splits; ++split)
      m = fmaxf(m, states[split].m);  // drops a NaN, but the factors do not
    return m;
  }

  static void add_part(const float* part, float factor, int64_t count, float* o, float* error) {
    const typename V::F f = V::broadcast(factor);
    for (int64_t d = 0; d < count; d += Values::kLength) {
      const Values values = Values::load_at(part, d, count);
      add_compensated<V>(o + d, error + d, V::mul(values.a, f));
      add_compensated<V>(o + d + W, error + d + W, V::mul(values.b, f));
    }
  }
};

}  // namespace
}  // namespace flashdec::cpu
