// NEON with dot products of bfloat16 (FEAT_BF16): pairs of elements are multiplied as they are.
//
// BFDOT rounds twice, the sum of a pair's products, which are exact, and its addition to the
// accumulator; both to odd, and subnormals count as zero, inputs and results (Arm ARM, BFDOT; FPCR
// has EBF off, see float_mode.h).  Rounding to odd errs by up to one ulp where rounding to nearest
// errs by half of one, but to both sides alike, and an accumulator takes half as many additions as
// one of Neon's: their sums' worst errors are the same.
#pragma once

#include "cpu/chunk.h"
#include "cpu/vector_neon.h"

namespace flashdec::cpu {
namespace {

struct NeonBf16 : Neon {};

template <>
struct Products<NeonBf16, Bf16> {
  using F = Neon::F;
  using Query = Bf16;
  static constexpr int kSideBySide = 0;
  static constexpr int kCopies = 1;

  struct Key {
    static constexpr int64_t kLength = 8;

    bfloat16x8_t elements;

    static Key load(const Bf16* row) { return {vreinterpretq_bf16_u16(vld1q_u16(&row->bits))}; }
    static Key load_first(const Bf16* row, int64_t n) {
      Bf16 buffer[kLength] = {};
      std::memcpy(buffer, row, static_cast<size_t>(n) * sizeof(Bf16));
      return load(buffer);
    }
  };

  static void keep_query(const Bf16* row, int64_t d, int64_t length, Bf16* kept) {
    const int64_t left = length - d;
    const Key key = left >= Key::kLength ? Key::load(row + d) : Key::load_first(row + d, left);
    vst1q_u16(&kept[d].bits, vreinterpretq_u16_bf16(key.elements));
  }

  static F add(F sum, const Bf16* query, const Key& key) {
    return vbfdotq_f32(sum, Key::load(query).elements, key.elements);
  }
};

}  // namespace
}  // namespace flashdec::cpu
