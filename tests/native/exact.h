// A decode, and what it is exactly: the formula of flashdec.h, section 1, in double, with the
// bounds of rule 7 of its section 4.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "core/convert.h"

using flashdec::Bf16;
using flashdec::F16;
using flashdec::to_float;

enum class Poison { kNone, kKey, kValue, kInfiniteValue };

struct Shape {
  int64_t batch, kv_heads, group, tokens, dim, dim_v, page_size;
  float scale;
  Poison poison;
  std::vector<int32_t> lengths;

  int64_t heads() const { return kv_heads * group; }
  int64_t row(int64_t b, int64_t t, int64_t g) const { return (b * tokens + t) * kv_heads + g; }
};

struct Exact {
  std::vector<double> o, bound, lse, lse_bound;
};

template <class E>
struct Data {
  std::vector<E> q, k, v;  // rows side by side, [batch, tokens, kv_heads] of them
};

// The distance between neighbours of T at x, by the digits of T and its smallest exponent.
inline double ulp(double x, int digits, int least) {
  int exponent = least;
  if (x != 0) std::frexp(x, &exponent);
  return std::ldexp(1.0, std::max(exponent, least) - digits);
}
inline double ulp_as(double x, float) {
  return ulp(x, 24, -125);
}
inline double ulp_as(double x, F16) {
  return ulp(x, 11, -13);
}
inline double ulp_as(double x, Bf16) {
  return ulp(x, 8, -125);
}

template <class E>
void attend_exactly(const Shape& s, const Data<E>& data, int64_t b, int64_t head, Exact* exact) {
  const int64_t g = head / s.group, at = b * s.heads() + head;
  const double scale = s.scale != 0 ? double{s.scale} : 1 / std::sqrt(static_cast<double>(s.dim));
  const E* const q = data.q.data() + at * s.dim;
  std::vector<double> score(static_cast<size_t>(s.lengths[b]));
  double largest = -INFINITY, magnitude = 0, sum = 0;
  for (int64_t t = 0; t < s.lengths[b]; ++t) {
    const E* const k = data.k.data() + s.row(b, t, g) * s.dim;
    double dot = 0, absolute = 0;
    for (int64_t d = 0; d < s.dim; ++d) {
      const double product = double{to_float(q[d])} * double{to_float(k[d])};
      dot += product;
      absolute += std::fabs(product);
    }
    score[t] = scale * dot;
    largest = std::fmax(largest, score[t]);
    magnitude = std::fmax(magnitude, std::fabs(scale) * absolute);
  }
  std::vector<double> o(static_cast<size_t>(s.dim_v)), weight(o);
  for (int64_t t = 0; t < s.lengths[b]; ++t) {
    const double p = std::exp(score[t] - largest);
    const E* const v = data.v.data() + s.row(b, t, g) * s.dim_v;
    sum += p;
    for (int64_t d = 0; d < s.dim_v; ++d) {
      o[d] += p * double{to_float(v[d])};
      weight[d] += p * std::fabs(double{to_float(v[d])});
    }
  }
  const double beyond = std::ldexp(magnitude, -21);
  for (int64_t d = 0; d < s.dim_v; ++d) {
    const double value = s.lengths[b] > 0 ? o[d] / sum : 0;
    const double share = s.lengths[b] > 0 ? weight[d] / sum : 0;
    exact->o.push_back(value);
    exact->bound.push_back(0.625 * ulp_as(value, E{}) + (std::ldexp(1.0, -20) + beyond) * share);
  }
  exact->lse.push_back(largest + std::log(sum));
  exact->lse_bound.push_back(1e-5 * std::fmax(1, std::fabs(exact->lse.back())) + beyond);
}
