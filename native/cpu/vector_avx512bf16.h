// AVX-512 with dot products of bfloat16 (AVX512_BF16): pairs of elements are multiplied as they
// are. Products are exact, sums are rounded to nearest as float32; subnormals count as zero (Intel
// SDM, VDPBF16PS).
#pragma once

#include "cpu/chunk.h"
#include "cpu/vector_avx512.h"

namespace flashdec::cpu {
namespace {

struct Avx512Bf16 : Avx512 {};

template <>
struct Products<Avx512Bf16, Bf16> {
  using F = Avx512::F;
  using Query = Bf16;

  struct Key {
    static constexpr int64_t kLength = 32;

    __m512bh elements;

    static Key load(const Bf16* row) {
      Key key;
      std::memcpy(&key.elements, row, sizeof(key.elements));
      return key;
    }
    static Key load_first(const Bf16* row, int64_t n) {
      const __mmask32 first = (uint32_t{1} << n) - 1;
      const __m512i bits = _mm512_maskz_loadu_epi16(first, row);
      Key key;
      std::memcpy(&key.elements, &bits, sizeof(key.elements));
      return key;
    }
  };

  static void keep_query(const Bf16* row, int64_t d, int64_t length, Bf16* kept) {
    const int64_t left = length - d;
    const Key key = left >= Key::kLength ? Key::load(row + d) : Key::load_first(row + d, left);
    std::memcpy(kept + d, &key.elements, sizeof(key.elements));
  }

  static F add(F sum, const Bf16* query, const Key& key) {
    return _mm512_dpbf16_ps(sum, Key::load(query).elements, key.elements);
  }

  // Four query heads side by side: half a vector has a piece of two of them, and the same piece of
  // k twice.  A sum then lies in 4 lanes, not in 16, which takes a fifth of the shuffles to add up.
  static constexpr int kSideBySide = 4;
  static constexpr int kCopies = 1;

  class SideBySide {
   public:
    static constexpr int kTokens = 8;
    static constexpr int64_t kPiece = 8;  // elements

    SideBySide() {
#pragma GCC unroll 16
      for (int i = 0; i < 2 * kTokens; ++i)
        sums_[i] = _mm256_setzero_ps();
    }

    // The products of a piece at element d of the rows, of which `left` elements are there.
    [[gnu::always_inline]] void add(const Bf16* queries, const Bf16* const (&rows)[kTokens],
                                    int64_t d, int64_t left) {
      const __m256bh first = load(queries + kSideBySide * d);
      const __m256bh second = load(queries + kSideBySide * d + 2 * kPiece);
#pragma GCC unroll 8
      for (int t = 0; t < kTokens; ++t) {
        const __m256bh key = left >= kPiece ? twice(rows[t] + d) : twice_first(rows[t] + d, left);
        sums_[t] = _mm256_dpbf16_ps(sums_[t], first, key);
        sums_[kTokens + t] = _mm256_dpbf16_ps(sums_[kTokens + t], second, key);
      }
    }

    // Times `factor`; rows of scores are `pitch` apart.
    void store(float factor, float* scores, int64_t pitch) const {
      const __m256 scale = _mm256_set1_ps(factor);
#pragma GCC unroll 4
      for (int i = 0; i < 2 * kTokens; i += 4) {
        const __m256 pair = _mm256_mul_ps(add_up(sums_ + i), scale);
        float* const row = scores + i / kTokens * 2 * pitch + i % kTokens;
        _mm_storeu_ps(row, _mm256_castps256_ps128(pair));
        _mm_storeu_ps(row + pitch, _mm256_extractf128_ps(pair, 1));
      }
    }

   private:
    static __m256bh as_elements(__m256i bits) {
      __m256bh elements;
      std::memcpy(&elements, &bits, sizeof(elements));
      return elements;
    }
    static __m256bh load(const Bf16* p) {
      return as_elements(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
    }
    static __m256bh twice(const Bf16* p) {
      return as_elements(
          _mm256_broadcastsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))));
    }
    static __m256bh twice_first(const Bf16* p, int64_t n) {
      const auto first = static_cast<__mmask8>((1 << n) - 1);
      return as_elements(_mm256_broadcastsi128_si256(_mm_maskz_loadu_epi16(first, p)));
    }

    // Of four tokens and two heads: lane 4 h + t is the sum of lanes 4 h to 4 h + 3 of x[t].
    static __m256 add_up(const __m256* x) {
      const __m256d a = _mm256_castps_pd(unpack_add(x[0], x[1]));
      const __m256d b = _mm256_castps_pd(unpack_add(x[2], x[3]));
      return _mm256_add_ps(_mm256_castpd_ps(_mm256_unpacklo_pd(a, b)),
                           _mm256_castpd_ps(_mm256_unpackhi_pd(a, b)));
    }
    static __m256 unpack_add(__m256 a, __m256 b) {
      return _mm256_add_ps(_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b));
    }

    __m256 sums_[2 * kTokens];  // of heads 0 and 1, then of 2 and 3
  };
};

}  // namespace
}  // namespace flashdec::cpu
