// The results of a row's splits into its output, one after the other: by the item that computes
// them, if it has them all, or from the workspace.  It is the same arithmetic, so the bits do not
// tell which.
#pragma once

#include "core/plan.h"
#include "cpu/compensated.h"
#include "cpu/rows.h"

namespace flashdec::cpu {
namespace {

// The splits of a row so far.
struct RowSum {
  float m = -INFINITY;
  CompensatedSum l = {};
  bool is_new = true;  // there are none

  // Adds a split; returns the factors on the values so far and on its own.
  struct Factors {
    float keep, add;
  };
  Factors add(SoftmaxState part) {
    const float most = fmaxf(m, part.m);  // drops a NaN, but the factors do not
    const Factors factors = {rescale_factor(m, most), rescale_factor(part.m, most)};
    l = flashdec::add(scale(l, factors.keep), part.l * factors.add);
    m = most;
    is_new = false;
    return factors;
  }
};

template <class V, class E>
struct Combining {
  using F = typename V::F;
  using Values = Chunk<V, float>;
  static constexpr int W = V::kWidth;

  // The partial results in the workspace, of which there are `splits`.
  static void combine(const Launch& launch, int64_t sequence, int64_t head, int64_t splits) {
    const int64_t count = launch.plan.problem.head_dim_v;
    const int64_t first = part_index(launch, sequence, head, 0);
    const SoftmaxState* const states = launch.workspace.states + first;
    const float* values = launch.workspace.values + first * count;
    alignas(64) float o[kMaxRow], error[kMaxRow];
    RowSum sum;
    for (int64_t split = 0; split < splits; ++split, values += count)
      add(sum, states[split], count, o, error,
          [=](int64_t d) { return Values::load_at(values, d, count); });
    finish(launch, sequence, head, sum, o);
  }

  // Adds a split to a row of `count` values, whose errors are kept; chunk_at(d) are its values.
  template <class ChunkAt>
  static void add(RowSum& sum, SoftmaxState part, int64_t count, float* o, float* error,
                  ChunkAt chunk_at) {
    const bool is_new = sum.is_new;
    const RowSum::Factors factors = sum.add(part);
    const F keep = V::broadcast(factors.keep), factor = V::broadcast(factors.add);
    for (int64_t d = 0; d < count; d += Values::kLength) {
      Values value = {V::zero(), V::zero()}, lost = value;
      if (!is_new) {
        value = scaled(Values::load_at(o, d, count), keep);
        lost = scaled(Values::load_at(error, d, count), keep);
      }
      const Values added = scaled(chunk_at(d), factor);
      add_compensated<V>(&value.a, &lost.a, added.a);
      add_compensated<V>(&value.b, &lost.b, added.b);
      value.store_at(o, d, count);
      lost.store_at(error, d, count);
    }
  }

  static void finish(const Launch& launch, int64_t sequence, int64_t head, const RowSum& sum,
                     const float* o) {
    const int64_t count = launch.plan.problem.head_dim_v;
    E* const row = static_cast<E*>(output_row(launch, sequence, head));
    const F l = V::broadcast(sum.l.value);
    for (int64_t d = 0; d < count; d += Values::kLength) {
      const Values value = Values::load_at(o, d, count);
      Values{V::div(value.a, l), V::div(value.b, l)}.store_at(row, d, count);
    }
    store_lse(launch, sequence, head, {sum.m, sum.l.value});
  }

 private:
  static Values scaled(const Values& values, F factor) {
    return {V::mul(values.a, factor), V::mul(values.b, factor)};
  }
};

}  // namespace
}  // namespace flashdec::cpu
