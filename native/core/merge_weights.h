// What a partial result counts in a merge; shared by host and device.
//
// The largest lse is subtracted before anything is rounded, so that the error does not grow with
// the size of the logarithms.
#pragma once

#include <cmath>

#include "core/softmax_state.h"

namespace flashdec {

// Of one whose lse is -inf nothing is used: 0 even beside others that are -inf, too.
FLASHDEC_INLINE bool is_empty_part(float lse) {
  return lse == -INFINITY;
}

// Units of lse in those of log2.
FLASHDEC_INLINE float log2_unit(bool base2) {
  return base2 ? 1.0f : kLog2E;
}

// `top`: the largest lse.  1 for that one, exactly; NaN for NaN, and for +inf.
FLASHDEC_INLINE float part_weight(float lse, float top, float unit) {
  return is_empty_part(lse) ? 0.0f : exp2f((lse - top) * unit);
}

// Of weights that add up to `sum`.
FLASHDEC_INLINE float merged_lse(float top, float sum, bool base2) {
  if (sum == 0.0f) return -INFINITY;
  return top + (base2 ? log2f(sum) : log2f(sum) * kLn2);
}

// The identity of an addition that keeps the sign of a zero.
constexpr float kNoValue = -0.0f;

// A sum of weighted values.
FLASHDEC_INLINE float merged_value(float values, float sum) {
  return sum == 0.0f ? 0.0f : values / sum;
}

}  // namespace flashdec
