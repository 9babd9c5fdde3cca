// From scores to probabilities: softmax along the tokens, tile by tile.
#pragma once

#include "cpu/state.h"

namespace flashdec::cpu {
namespace {

template <class V, class E>
struct Softening {
  using F = typename V::F;
  static constexpr int W = V::kWidth;

  // exp2(x) for x <= kSlack: 2^floor(x) times a polynomial in the rest of x, in [0, 1), which is 1
  // at 0 and whose largest relative error is the least possible, 2.0e-9 (Remez).
  static F exp2(F x) {
    constexpr float kPolynomial[] = {2.16129149e-4f,
                                     1.24678470e-3f,
                                     9.67545155e-3f,
                                     5.54852821e-2f,
                                     2.40229309e-1f,
                                     6.93147063e-1f,
                                     1.0f};
    const F rest = V::above_floor(x);
    F sum = V::broadcast(kPolynomial[0]);
    for (int i = 1; i < 7; ++i)
      sum = V::fma(sum, rest, V::broadcast(kPolynomial[i]));
    return V::scale_by_floor(sum, x);
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
    float* const lanes = state.lanes_of(head);
    if (V::any_above(largest, state.m[head] + kSlack))
      rescale(lanes, move(state, head, V::reduce_max(largest)), W);
    const F reference = V::broadcast(reference_score(state.m[head]));
    F added = V::load(lanes);
    for (int t = 0; t < kTile; t += W) {
      const F weight = exp2(V::sub(V::load(p + t), reference));
      V::store(p + t, weight);
      added = V::add(added, weight);
    }
    V::store(lanes, added);
  }

  // The sums of the latest tiles' weights go into those before.
  static void fold(State<V, E>& state, int64_t heads) {
    for (int64_t head = 0; head < heads; ++head) {
      float* const lanes = state.lanes_of(head);
      state.l[head] = add(state.l[head], V::reduce_add(V::load(lanes)));
      V::store(lanes, V::zero());
    }
  }

  // What scores may exceed m by, in units of log2, before m is moved: weights of up to 2^8 are as
  // exact as those of up to 1, and after its first tile a split seldom moves it.
  static constexpr float kSlack = 8.0f;

  // Returns the factor by which the lanes of l are to be rescaled.
  static float move(State<V, E>& state, int64_t head, float m) {
    const float before = state.m[head];
    state.m[head] = m;
    if (before == -INFINITY) return 1.0f;  // the sums are 0 still, or NaN
    const float keep = rescale_factor(before, m);
    state.l[head] = scale(state.l[head], keep);
    rescale(state.o_row(head), keep, state.o_length);
    if (state.folds > 0) rescale(state.total_row(head), keep, state.o_length);
    if (state.folds > 1) rescale(state.error_row(head), keep, state.o_length);
    return keep;
  }

 private:
  static void rescale(float* o, float factor, int64_t length) {
    const F f = V::broadcast(factor);
    for (int64_t d = 0; d < length; d += W)
      V::store(o + d, V::mul(V::load(o + d), f));
  }
};

}  // namespace
}  // namespace flashdec::cpu
