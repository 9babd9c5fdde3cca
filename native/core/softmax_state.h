// The running state (m, l, o) of a softmax-weighted sum: init, update, merge, finish.
//
// Scores are kept in units of log2: s' = s * log2(e), so that exp(s - m) = exp2(s' - m').
// The weighted values o are scaled alongside by the caller, with the factors returned here.
// Online softmax: Milakov and Gimelshein, "Online normalizer calculation for softmax", 2018.
#pragma once

#include <cmath>

#include "core/inline.h"

namespace flashdec {

constexpr float kLog2E = 1.44269504088896340736f;
constexpr float kLn2 = 0.69314718055994530942f;

struct SoftmaxState {
  float m;  // largest score so far, in log2 units
  float l;  // sum of exp2(s' - m)
};

FLASHDEC_INLINE SoftmaxState empty_state() {
  return {-INFINITY, 0.0f};
}

// What a sequence with an unusable length or page leaves: every merge keeps it NaN.
FLASHDEC_INLINE SoftmaxState poisoned_state() {
  return {NAN, NAN};
}

// The factor on l and o when the maximum moves from `from` to `to`.  Equal maxima give exactly 1,
// also when both are -inf, where the difference would be NaN.
FLASHDEC_INLINE float rescale_factor(float from, float to) {
  return from == to ? 1.0f : exp2f(from - to);
}

// What to subtract from scores: with every score at -inf, p = exp2(-inf - 0) = 0 and not NaN.
FLASHDEC_INLINE float reference_score(float m) {
  return m == -INFINITY ? 0.0f : m;
}

// Folds `part` into `state`; returns the factors on the o of each through `keep` and `add`.
FLASHDEC_INLINE SoftmaxState merge_states(SoftmaxState state, SoftmaxState part, float* keep,
                                          float* add) {
  const float m = fmaxf(state.m, part.m);  // drops a NaN, but its factor below does not
  *keep = rescale_factor(state.m, m);
  *add = rescale_factor(part.m, m);
  return {m, state.l * *keep + part.l * *add};
}

// A sum that carries the rounding error of its last addition into the next one (Kahan, "Further
// remarks on reducing truncation errors", 1965), so that its own error does not grow with the
// number of terms.  It relies on a * b + c not being contracted, and on no term being reassociated.
struct CompensatedSum {
  float value;
  float error;
};

FLASHDEC_INLINE CompensatedSum add(CompensatedSum sum, float term) {
  const float corrected = term - sum.error;
  const float value = sum.value + corrected;
  const float error = (value - sum.value) - corrected;
  return {value, error == error ? error : 0.0f};  // Inf - Inf: the sum stays Inf
}

FLASHDEC_INLINE CompensatedSum scale(CompensatedSum sum, float factor) {
  return {sum.value * factor, sum.error * factor};
}

FLASHDEC_INLINE float state_lse(SoftmaxState state, bool base2) {
  return state.l == 0.0f ? -INFINITY : (state.m + log2f(state.l)) * (base2 ? 1.0f : kLn2);
}

}  // namespace flashdec
