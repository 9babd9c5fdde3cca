// Keys of float16, turned with AVX-512.
#pragma once

#include <immintrin.h>

#include "cpu/chunk.h"
#include "cpu/turned.h"

namespace flashdec::cpu {
namespace {

template <class V>
struct Turned<V, F16> {
  static constexpr int kFewestHeads = 5;

  struct Keys {
    alignas(64) F16 columns[kMaxRow][kTile];
  };

  // On its way through a tile, unit by unit, in kSteps steps each, which are inlined: callers keep
  // sums in registers.
  class Turning {
   public:
    static constexpr int kSteps = 4;

    // Of eight tokens and sixteen columns: quads[i][j] has column 2 j of tokens 4 i to 4 i + 3,
    // column 2 j + 1 of them, and both of eight columns later.
    struct Unit {
      __m256i quads[2][4];
    };

    Turning(const KeyRows& rows, int64_t dim, Keys* keys)
        : rows_(rows), dim_(dim), keys_(keys), group_(rows.tile != nullptr ? 0 : kGroups) {
      if (group_ < kGroups) begin_group();
    }

    // Units that `step` may be asked for: where rows end within one, all are left to `finish`.
    [[gnu::always_inline]] int64_t units() const {
      return dim_ % kColumns == 0 && group_ < kGroups
                 ? (kGroups - group_) * (dim_ / kColumns) - d_ / kColumns
                 : 0;
    }

    template <int i, bool kWhole = true>
    [[gnu::always_inline]] void step(Unit* unit) {
      if constexpr (i < 2) {
        turn<kWhole>(from_ + i * kQuad, unit->quads[i]);
      } else {
        join<i % 2 * 2>(*unit);
        join<i % 2 * 2 + 1>(*unit);
      }
      if constexpr (i == kSteps - 1) {
        d_ += kColumns;
        to_ += kColumns * kTile;
        if (d_ < dim_) return;
        ++group_;
        if (group_ < kGroups) begin_group();
      }
    }

    void finish() {
      while (group_ < kGroups) {
        Unit unit;
        step<0, false>(&unit);
        step<1, false>(&unit);
        step<2, false>(&unit);
        step<3, false>(&unit);
      }
    }

   private:
    static constexpr int64_t kColumns = 16;
    static constexpr int kQuad = 4;  // tokens
    static constexpr int kGroups = kTile / (2 * kQuad);
    // As they arrive from pages: see kInTurn.
    static constexpr int kOrder[kGroups] = {0, 16, 8, 24};

    void begin_group() {
      from_ = rows_.tile->k + kOrder[group_];
      to_ = keys_->columns[0] + kOrder[group_];
      d_ = 0;
    }

    template <bool kWhole>
    [[gnu::always_inline]] void turn(const unsigned char* const* rows, __m256i* quads) const {
      __m256i x[kQuad];
#pragma GCC unroll 4
      for (int t = 0; t < kQuad; ++t)
        x[t] = load<kWhole>(reinterpret_cast<const F16*>(rows[t] + rows_.at) + d_);
      const __m256i even_low = _mm256_unpacklo_epi16(x[0], x[2]);
      const __m256i even_high = _mm256_unpackhi_epi16(x[0], x[2]);
      const __m256i odd_low = _mm256_unpacklo_epi16(x[1], x[3]);
      const __m256i odd_high = _mm256_unpackhi_epi16(x[1], x[3]);
      quads[0] = _mm256_unpacklo_epi16(even_low, odd_low);
      quads[1] = _mm256_unpackhi_epi16(even_low, odd_low);
      quads[2] = _mm256_unpacklo_epi16(even_high, odd_high);
      quads[3] = _mm256_unpackhi_epi16(even_high, odd_high);
    }

    // Up to the end of the row, zeros after it.
    template <bool kWhole>
    [[gnu::always_inline]] __m256i load(const F16* p) const {
      if (kWhole) return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
      const int64_t left = dim_ - d_;
      return _mm256_maskz_loadu_epi16(
          static_cast<__mmask16>(left < kColumns ? (1u << left) - 1 : 0xffffu), p);
    }

    template <int j>
    [[gnu::always_inline]] void join(const Unit& unit) const {
      const __m256i a = unit.quads[0][j], b = unit.quads[1][j];
      store(to_ + 2 * j * kTile, _mm256_unpacklo_epi64(a, b));
      store(to_ + (2 * j + 1) * kTile, _mm256_unpackhi_epi64(a, b));
    }

    // Eight tokens of a column and of the one eight columns later.  Both halves are taken out of
    // the vector, which a Zen 4 does beside its multiplications; a plain store takes turns with
    // them.
    [[gnu::always_inline]] static void store(F16* p, __m256i x) {
      asm("vextracti32x4 $0, %1, %0" : "=m"(*reinterpret_cast<__m128i*>(p)) : "v"(x));
      asm("vextracti32x4 $1, %1, %0" : "=m"(*reinterpret_cast<__m128i*>(p + 8 * kTile)) : "v"(x));
    }

    KeyRows rows_;
    int64_t dim_;
    Keys* keys_;
    int group_;  // of eight tokens
    const unsigned char* const* from_ = nullptr;
    F16* to_ = nullptr;
    int64_t d_ = 0;
  };
};

}  // namespace
}  // namespace flashdec::cpu
