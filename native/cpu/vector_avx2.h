// The vector type of body.h for AVX2 with FMA and F16C.
#pragma once

#include <immintrin.h>

#include "core/convert.h"

namespace flashdec::cpu {
namespace {

struct Avx2 {
  using F = __m256;
  static constexpr int kWidth = 8;
  static constexpr int kAccumulators = 8;  // that leave registers for the operands

  static F zero() { return _mm256_setzero_ps(); }
  static F broadcast(float x) { return _mm256_set1_ps(x); }
  static F broadcast(const float* p) { return _mm256_broadcast_ss(p); }
  static F load(const float* p) { return _mm256_loadu_ps(p); }
  static F load(const Bf16* p) {
    const __m256i wide =
        _mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
    return _mm256_castsi256_ps(_mm256_slli_epi32(wide, 16));
  }
  static F load(const F16* p) {
    return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  }
  static void load_pair(const float* p, F* a, F* b) {
    *a = load(p);
    *b = load(p + kWidth);
  }
  static void load_pair(const F16* p, F* a, F* b) {
    *a = load(p);
    *b = load(p + kWidth);
  }
  static void load_pair(const Bf16* p, F* a, F* b) {
    const __m256i both = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
    *a = _mm256_castsi256_ps(_mm256_slli_epi32(both, 16));
    *b = _mm256_castsi256_ps(_mm256_and_si256(both, _mm256_set1_epi32(-65536)));
  }
  static void interleave(F* a, F* b) {
    const F low = _mm256_unpacklo_ps(*a, *b), high = _mm256_unpackhi_ps(*a, *b);
    *a = _mm256_permute2f128_ps(low, high, 0x20);
    *b = _mm256_permute2f128_ps(low, high, 0x31);
  }

  static void store(float* p, F x) { _mm256_storeu_ps(p, x); }
  static void store(F16* p, F x) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p),
                     _mm256_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
  }
  static void store(Bf16* p, F x) {
    const __m256i bits = _mm256_castps_si256(x);
    const __m256i lsb = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
    const __m256i rounded =
        _mm256_add_epi32(bits, _mm256_add_epi32(lsb, _mm256_set1_epi32(0x7fff)));
    const __m256i quiet = _mm256_or_si256(bits, _mm256_set1_epi32(0x400000));
    const __m256i nan = _mm256_castps_si256(_mm256_cmp_ps(x, x, _CMP_UNORD_Q));
    const __m256i upper = _mm256_srli_epi32(_mm256_blendv_epi8(rounded, quiet, nan), 16);
    _mm_storeu_si128(
        reinterpret_cast<__m128i*>(p),
        _mm_packus_epi32(_mm256_castsi256_si128(upper), _mm256_extracti128_si256(upper, 1)));
  }

  static F add(F a, F b) { return _mm256_add_ps(a, b); }
  static F sub(F a, F b) { return _mm256_sub_ps(a, b); }
  static F mul(F a, F b) { return _mm256_mul_ps(a, b); }
  static F div(F a, F b) { return _mm256_div_ps(a, b); }
  static F fma(F a, F b, F c) { return _mm256_fmadd_ps(a, b, c); }
  static F max(F a, F b) { return _mm256_max_ps(a, b); }
  static float reduce_add(F x) {
    const __m128 four = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
  }
  static float reduce_max(F x) {
    const __m128 four = _mm_max_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    const __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)));
  }

  static bool any_above(F x, float bound) {
    return _mm256_movemask_ps(_mm256_cmp_ps(x, broadcast(bound), _CMP_GT_OQ)) != 0;
  }

  static F nan_to_zero(F x) { return _mm256_and_ps(_mm256_cmp_ps(x, x, _CMP_ORD_Q), x); }

  // x - floor(x), in [0, 1) for -inf as well; of NaN NaN.
  static F above_floor(F x) { return sub(bounded(x), _mm256_floor_ps(bounded(x))); }
  // x * 2^floor(n) for n < 129; underflows to 0 and keeps NaN.
  static F scale_by_floor(F x, F n) {
    const F floor = _mm256_floor_ps(bounded(n));
    const __m256i exponent =
        _mm256_slli_epi32(_mm256_add_epi32(_mm256_cvtps_epi32(floor), _mm256_set1_epi32(127)), 23);
    const F scaled = mul(x, _mm256_castsi256_ps(exponent));
    const F tiny = _mm256_cmp_ps(floor, broadcast(-126.0f), _CMP_LT_OQ);  // false for NaN
    return _mm256_andnot_ps(tiny, scaled);
  }

  // Lane i of the result is the sum of the lanes of x[i], added in the same order for every i.
  static F transpose_sum(const F (&x)[8]) {
    const F low = _mm256_hadd_ps(_mm256_hadd_ps(x[0], x[1]), _mm256_hadd_ps(x[2], x[3]));
    const F high = _mm256_hadd_ps(_mm256_hadd_ps(x[4], x[5]), _mm256_hadd_ps(x[6], x[7]));
    return add(_mm256_permute2f128_ps(low, high, 0x20), _mm256_permute2f128_ps(low, high, 0x31));
  }

 private:
  // 2^-200 is 0 already; the order of the operands keeps NaN.
  static F bounded(F x) { return max(broadcast(-200.0f), x); }
};

}  // namespace
}  // namespace flashdec::cpu
