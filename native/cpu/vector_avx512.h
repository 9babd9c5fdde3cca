// The vector type of body.h for AVX-512 (F, BW, VL, DQ) with FMA and F16C.
#pragma once

#include <immintrin.h>

#include "core/convert.h"

namespace flashdec::cpu {
namespace {

struct Avx512 {
  using F = __m512;
  static constexpr int kWidth = 16;
  static constexpr int kAccumulators = 16;  // that leave registers for the operands

  static F zero() { return _mm512_setzero_ps(); }
  static F broadcast(float x) { return _mm512_set1_ps(x); }
  // By the instruction for integers, which a Zen 4 does while it loads; that for floats, which is
  // what the intrinsics come to, takes a turn of its multipliers, too.
  static F broadcast(const float* p) {
    F result;
    asm("vpbroadcastd %1, %0" : "=v"(result) : "m"(*p));
    return result;
  }
  static F load(const float* p) { return _mm512_loadu_ps(p); }
  static F load(const Bf16* p) {
    const __m512i wide =
        _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
    return _mm512_castsi512_ps(_mm512_slli_epi32(wide, 16));
  }
  static F load(const F16* p) {
    return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
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
    const __m512i both = _mm512_loadu_si512(p);
    *a = _mm512_castsi512_ps(_mm512_slli_epi32(both, 16));
    *b = _mm512_castsi512_ps(_mm512_and_si512(both, _mm512_set1_epi32(-65536)));
  }
  static void interleave(F* a, F* b) {
    const __m512i low = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
    const __m512i high = _mm512_add_epi32(low, _mm512_set1_epi32(8));
    const F first = _mm512_permutex2var_ps(*a, low, *b);
    *b = _mm512_permutex2var_ps(*a, high, *b);
    *a = first;
  }

  static void store(float* p, F x) { _mm512_storeu_ps(p, x); }
  static void store(F16* p, F x) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p),
                        _mm512_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
  }
  static void store(Bf16* p, F x) {
    const __m512i bits = _mm512_castps_si512(x);
    const __m512i lsb = _mm512_and_epi32(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
    const __m512i rounded =
        _mm512_add_epi32(bits, _mm512_add_epi32(lsb, _mm512_set1_epi32(0x7fff)));
    const __m512i quiet = _mm512_or_epi32(bits, _mm512_set1_epi32(0x400000));
    const __mmask16 nan = _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q);
    const __m512i result = _mm512_mask_mov_epi32(rounded, nan, quiet);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p),
                        _mm512_cvtepi32_epi16(_mm512_srli_epi32(result, 16)));
  }

  static F add(F a, F b) { return _mm512_add_ps(a, b); }
  static F sub(F a, F b) { return _mm512_sub_ps(a, b); }
  static F mul(F a, F b) { return _mm512_mul_ps(a, b); }
  static F div(F a, F b) { return _mm512_div_ps(a, b); }
  static F fma(F a, F b, F c) { return _mm512_fmadd_ps(a, b, c); }
  static F max(F a, F b) { return _mm512_max_ps(a, b); }
  static float reduce_add(F x) { return _mm512_reduce_add_ps(x); }
  static float reduce_max(F x) { return _mm512_reduce_max_ps(x); }

  static bool any_above(F x, float bound) {
    return _mm512_cmp_ps_mask(x, broadcast(bound), _CMP_GT_OQ) != 0;
  }

  static F nan_to_zero(F x) { return _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(x, x, _CMP_ORD_Q), x); }

  // x - floor(x): of -inf 0, of NaN NaN.
  static F above_floor(F x) {
    return _mm512_reduce_ps(x, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC);
  }
  // x * 2^floor(n); underflows to 0 and keeps NaN.
  static F scale_by_floor(F x, F n) { return _mm512_scalef_ps(x, n); }

  // Lane 4 l + i of the result is the sum of lanes 4 l to 4 l + 3 of x[i], of four.
  static F add_quads(const F* x) {
    const __m512d a = _mm512_castps_pd(unpack_add(x[0], x[1]));
    const __m512d b = _mm512_castps_pd(unpack_add(x[2], x[3]));
    return add(_mm512_castpd_ps(_mm512_unpacklo_pd(a, b)),
               _mm512_castpd_ps(_mm512_unpackhi_pd(a, b)));
  }

  // Lane i of the result is the sum of the lanes of x[i], added in the same order for every i.
  static F transpose_sum(const F (&x)[16]) {
    F quads[4];
    for (int i = 0; i < 4; ++i)
      quads[i] = add_quads(x + 4 * i);
    const F low = fold_lanes(quads[0], quads[1]);
    const F high = fold_lanes(quads[2], quads[3]);
    return add(_mm512_shuffle_f32x4(low, high, _MM_SHUFFLE(2, 0, 2, 0)),
               _mm512_shuffle_f32x4(low, high, _MM_SHUFFLE(3, 1, 3, 1)));
  }

 private:
  static F unpack_add(F a, F b) { return add(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b)); }
  static F fold_lanes(F a, F b) {
    return add(_mm512_shuffle_f32x4(a, b, _MM_SHUFFLE(1, 0, 1, 0)),
               _mm512_shuffle_f32x4(a, b, _MM_SHUFFLE(3, 2, 3, 2)));
  }
};

}  // namespace
}  // namespace flashdec::cpu
