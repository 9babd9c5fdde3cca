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
};

}  // namespace
}  // namespace flashdec::cpu
