// What a partial result counts in a merge; shared by host and device.
//
// The largest lse is subtracted before anything is rounded, so that the error does not grow with
// the size of the logarithms.
#pragma once

#include <cmath>

#include "core/softmax_state.h"

namespace flashdec {

// Nothing of it is used.
FLASHDEC_INLINE bool is_empty_part(float lse) {
  return lse == -INFINITY;
}

// Units of lse in those of log2.
FLASHDEC_INLINE float log2_unit(bool base2) {
  return base2 ? 1.0f : kLog2E;
}

// The weight of a part is exp2 of that.  `reference`: reference_score() of the largest lse, whose
// weight is 1, exactly; that of -inf is 0, that of NaN and +inf NaN.
FLASHDEC_INLINE float part_exponent(float lse, float reference, float unit) {
  return (lse - reference) * unit;
}

// Of weights that add up to `sum`.
FLASHDEC_INLINE float merged_lse(float top, float sum, bool base2) {
  if (sum == 0.0f) return -INFINITY;
  if (sum == 1.0f) return top;  // also if that is -0
  return top + (base2 ? log2f(sum) : log2f(sum) * kLn2);
}

// The identity of an addition that keeps the sign of a zero.
constexpr float kNoValue = -0.0f;

}  // namespace flashdec
