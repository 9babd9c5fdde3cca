// From scores to probabilities: softmax along the tokens, tile by tile.
#pragma once

#include "cpu/state.h"

namespace flashdec::cpu {
namespace {

template <class V, class E>
struct Softening {
  using F = typename V::F;
  static constexpr int W = V::kWidth;

  // exp2(x) for x <= kSlack: 2^round(x) times the Taylor series of 2^f, |f| <= 1/2, whose first
  // term left out is below 6e-9.
  static F exp2(F x) {
    // -200 underflows all the same, and keeps -inf out of f; the order of the operands keeps NaN.
    const F bounded = V::max(V::broadcast(-200.0f), x);
    const F n = V::round(bounded);
    const F f = V::sub(bounded, n);
    constexpr float kSeries[] = {1.52527338e-5f, 1.54035304e-4f, 1.33335581e-3f, 9.61812911e-3f,
                                 5.55041087e-2f, 2.40226507e-1f, 6.93147181e-1f, 1.0f};
    F sum = V::broadcast(kSeries[0]);
    for (int i = 1; i < 8; ++i)
      sum = V::fma(sum, f, V::broadcast(kSeries[i]));
    return V::scale_by_power(sum, n);
  }

  // The scores of head h of the block into probabilities, the running (m, l) moved on, o rescaled
  // where m is moved.
  static void soften(State<V, E>& state, const Block& block, int h, int count) {
    const int64_t head = block.head + h;
    float* p = state.p_row(h);
    for (int t = count; t < kTile; ++t)
      p[t] = -INFINITY;
    F largest = V::load(p);
    for (int t = W; t < kTile; t += W)
      largest = V::max(largest, V::load(p + t));
    const float most = V::reduce_max(largest);
    if (most > state.m[head] + kSlack) move(state, head, most);
    const F reference = V::broadcast(reference_score(state.m[head]));
    F added = V::zero();
    for (int t = 0; t < kTile; t += W) {
      const F weight = exp2(V::sub(V::load(p + t), reference));
      V::store(p + t, weight);
      added = V::add(added, weight);
    }
    state.l[head] = add(state.l[head], V::reduce_add(added));
  }

 private:
  // What scores may exceed m by, in units of log2, before m is moved: weights of up to 2^8 are as
  // exact as those of up to 1, and after its first tile a split seldom moves it.
  static constexpr float kSlack = 8.0f;

  static void move(State<V, E>& state, int64_t head, float m) {
    const float before = state.m[head];
    state.m[head] = m;
    if (before == -INFINITY) return;  // the sums are 0 still, or NaN
    const float keep = rescale_factor(before, m);
    state.l[head] = scale(state.l[head], keep);
    rescale(state.o_row(head), keep, state.o_length);
    rescale(state.error_row(head), keep, state.o_length);
  }

  static void rescale(float* o, float factor, int64_t length) {
    const F f = V::broadcast(factor);
    for (int64_t d = 0; d < length; d += W)
      V::store(o + d, V::mul(V::load(o + d), f));
  }
};

}  // namespace
}  // namespace flashdec::cpu
