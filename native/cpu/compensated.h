// Vectors of CompensatedSums.
#pragma once

#include "core/softmax_state.h"
#include "cpu/chunk.h"

namespace flashdec::cpu {
namespace {

// As add(CompensatedSum, float) does it.
template <class V>
void add_compensated(typename V::F* sum, typename V::F* error, typename V::F term) {
  const typename V::F before = *sum;
  const typename V::F corrected = V::sub(term, *error);
  *sum = V::add(before, corrected);
  *error = V::nan_to_zero(V::sub(V::sub(*sum, before), corrected));
}

}  // namespace
}  // namespace flashdec::cpu
