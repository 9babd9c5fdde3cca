// The vector type of body.h in plain C++, for every processor.
#pragma once

#include <cmath>

#include "core/convert.h"

namespace flashdec::cpu {
namespace {

struct Generic {
  struct F {
    float lane[8];
  };
  static constexpr int kWidth = 8;
  static constexpr int kAccumulators = 8;

  template <class Function>
  static F map(Function function) {
    F result;
    for (int i = 0; i < kWidth; ++i)
      result.lane[i] = function(i);
    return result;
  }

  static F zero() { return broadcast(0.0f); }
  static F broadcast(float x) {
    return map([&](int) { return x; });
  }
  static F broadcast(const float* p) { return broadcast(*p); }
  template <class E>
  static F load(const E* p) {
    return map([&](int i) { return to_float(p[i]); });
  }
  template <class E>
  static void load_pair(const E* p, F* a, F* b) {
    *a = load(p);
    *b = load(p + kWidth);
  }
  static void load_pair(const Bf16* p, F* a, F* b) {
    *a = map([&](int i) { return to_float(p[2 * i]); });
    *b = map([&](int i) { return to_float(p[2 * i + 1]); });
  }
  static void interleave(F* a, F* b) {
    const F first = *a, second = *b;
    const auto at = [&](int i) { return i % 2 == 0 ? first.lane[i / 2] : second.lane[i / 2]; };
    *a = map(at);
    *b = map([&](int i) { return at(i + kWidth); });
  }
  template <class E>
  static void store(E* p, F x) {
    for (int i = 0; i < kWidth; ++i)
      from_float(x.lane[i], p + i);
  }

  static F add(F a, F b) {
    return map([&](int i) { return a.lane[i] + b.lane[i]; });
  }
  static F sub(F a, F b) {
    return map([&](int i) { return a.lane[i] - b.lane[i]; });
  }
  static F mul(F a, F b) {
    return map([&](int i) { return a.lane[i] * b.lane[i]; });
  }
  static F div(F a, F b) {
    return map([&](int i) { return a.lane[i] / b.lane[i]; });
  }
  static F fma(F a, F b, F c) {  // rounded twice: a fused one is a slow call on old processors
    return map([&](int i) { return a.lane[i] * b.lane[i] + c.lane[i]; });
  }
  static F max(F a, F b) {
    return map([&](int i) { return a.lane[i] > b.lane[i] ? a.lane[i] : b.lane[i]; });
  }
  static float reduce_add(F x) {
    const float* a = x.lane;
    return ((a[0] + a[4]) + (a[2] + a[6])) + ((a[1] + a[5]) + (a[3] + a[7]));
  }
  static float reduce_max(F x) {
    float result = x.lane[0];
    for (int i = 1; i < kWidth; ++i)
      result = x.lane[i] > result ? x.lane[i] : result;
    return result;
  }

  static bool any_above(F x, float bound) {
    bool any = false;
    for (float lane : x.lane)
      any |= lane > bound;
    return any;
  }

  static F nan_to_zero(F x) {
    return map([&](int i) { return x.lane[i] == x.lane[i] ? x.lane[i] : 0.0f; });
  }

  // x - floor(x): of -inf 0, of NaN NaN.
  static F above_floor(F x) {
    return map([&](int i) { return x.lane[i] == -INFINITY ? 0 : x.lane[i] - floorf(x.lane[i]); });
  }
  // x * 2^floor(n); underflows to 0 and keeps NaN.
  static F scale_by_floor(F x, F n) {
    return map([&](int i) { return x.lane[i] * exp2f(floorf(n.lane[i])); });
  }

  static F transpose_sum(const F (&x)[8]) {
    return map([&](int i) { return reduce_add(x[i]); });
  }
};

}  // namespace
}  // namespace flashdec::cpu
