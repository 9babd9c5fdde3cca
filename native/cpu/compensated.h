// Vectors of CompensatedSums.
#pragma once

#include "core/softmax_state.h"
#include "cpu/chunk.h"

namespace flashdec::cpu {
namespace {

// As add(CompensatedSum, float) does it.
template <class V>
void add_compensated(float* sum, float* error, typename V::F term) {
  const typename V::F before = V::load(sum);
  const typename V::F corrected = V::sub(term, V::load(error));
  const typename V::F value = V::add(before, corrected);
  V::store(sum, value);
  V::store(error, V::nan_to_zero(V::sub(V::sub(value, before), corrected)));
}

}  // namespace
}  // namespace flashdec::cpu
