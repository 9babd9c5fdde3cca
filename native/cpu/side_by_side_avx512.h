// Scores of float16 with AVX-512, of four heads (of more: turned_avx512.h): two tokens side by side
// in a vector, widened by one instruction, times 8 elements of a query twice.  A sum then lies in 8
// lanes, not in 16, which halves the shuffles to add it up; they take the multiplier's ports.
#pragma once

#include "cpu/chunk.h"
#include "cpu/vector_avx512.h"

namespace flashdec::cpu {
namespace {

template <class V>
struct Products<V, F16> : Widened<V, F16> {
  static constexpr int kSideBySide = 4;
  static constexpr int kCopies = 2;  // a load into both halves would take the multiplier's ports

  class SideBySide {
   public:
    static constexpr int kTokens = 8;
    static constexpr int64_t kPiece = 8;  // elements

    SideBySide() {
#pragma GCC unroll 16
      for (__m512& sum : sums_)
        sum = _mm512_setzero_ps();
    }

    // The products of a piece at element d of the rows, of which `left` elements are there.
    [[gnu::always_inline]] void add(const float* queries, const F16* const (&rows)[kTokens],
                                    int64_t d, int64_t left) {
      __m512 q[kSideBySide];
#pragma GCC unroll 4
      for (int h = 0; h < kSideBySide; ++h)
        q[h] = _mm512_load_ps(queries + kCopies * (kSideBySide * d + h * kPiece));
#pragma GCC unroll 4
      for (int t = 0; t < kPairs; ++t) {
        const F16 *const low = rows[t] + d, *const high = rows[t + kPairs] + d;
        const __m512 key = left < kPiece ? pair(first(low, left), first(high, left))
                                         : pair(piece(low), piece(high));
#pragma GCC unroll 4
        for (int h = 0; h < kSideBySide; ++h) {
          __m512& sum = sums_[h * kPairs + t];
          sum = _mm512_fmadd_ps(q[h], key, sum);
        }
      }
    }

    // Times `factor`; rows of scores are `pitch` apart.
    void store(float factor, float* scores, int64_t pitch) const {
      const __m512 scale = _mm512_set1_ps(factor);
#pragma GCC unroll 2
      for (int h = 0; h < kSideBySide; h += 2) {
        const __m512 both = _mm512_mul_ps(add_up(sums_ + h * kPairs), scale);
        _mm256_storeu_ps(scores + h * pitch, _mm512_castps512_ps256(both));
        _mm256_storeu_ps(scores + (h + 1) * pitch, _mm512_extractf32x8_ps(both, 1));
      }
    }

   private:
    static constexpr int kPairs = kTokens / 2;  // a token and the one kPairs later

    static __m128i piece(const F16* p) {
      return _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
    }
    static __m128i first(const F16* p, int64_t n) {
      return _mm_maskz_loadu_epi16(static_cast<__mmask8>((1 << n) - 1), p);
    }
    static __m512 pair(__m128i low, __m128i high) {
      return _mm512_cvtph_ps(_mm256_inserti128_si256(_mm256_castsi128_si256(low), high, 1));
    }
    // Of the sums of two heads: the scores of the first one's tokens, then of the second one's.
    static __m512 add_up(const __m512* x) {
      const __m512 a = Avx512::add_quads(x), b = Avx512::add_quads(x + kPairs);
      return _mm512_add_ps(_mm512_shuffle_f32x4(a, b, _MM_SHUFFLE(2, 0, 2, 0)),
                           _mm512_shuffle_f32x4(a, b, _MM_SHUFFLE(3, 1, 3, 1)));
    }

    __m512 sums_[kSideBySide * kPairs];  // of a head and a pair each
  };
};

}  // namespace
}  // namespace flashdec::cpu
