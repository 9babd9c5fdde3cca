// s[h][t] = q[h] . k[t]: heads x tokens in registers, so that a row of k is read once for all heads
// and a query once for several tokens.
#pragma once

#include "cpu/prefetch.h"
#include "cpu/state.h"
#include "cpu/tile.h"

namespace flashdec::cpu {
namespace {

constexpr int kScoreHeads = 4;  // at a time, unless keys are turned

template <class V, class E>
struct Scores {
  using F = typename V::F;
  using P = Products<V, E>;
  static constexpr int W = V::kWidth;
  static constexpr int kSums = V::kAccumulators;  // of a head and a token each
  static_assert(kSums % W == 0 && kSums <= kWidest, "whole vectors, which the rows of p can take");

  // Of NH heads of the block from its `first` on, times `factor`; the rows of `ahead`, where
  // there are any, are prefetched meanwhile.
  template <int NH, bool kAhead>
  static void block(State<V, E>& state, const Block& heads, int first, const Tile& tile,
                    const Tile* ahead, float factor, int64_t dim) {
    const typename P::Query* const q = state.q_row(heads.head + first);
    float* const p = state.p_row(first);
    if constexpr (NH >= Turned<V, E>::kFewestHeads)
      return of_turned<NH, kAhead>(q, *state.keys, ahead, factor, dim, p);
    if constexpr (NH == P::kSideBySide) return side_by_side<kAhead>(q, tile, ahead, factor, dim, p);
    constexpr int NT = kSums / NH;
    const F scale = V::broadcast(factor);
    for (int t0 = 0; t0 < tile.count; t0 += NT) {
      const Rows<NT> rows = rows_of<NH, NT, kAhead>(tile, ahead, t0);
      F sums[kSums / W][W];
      for (int i = 0; i < kSums; ++i)
        sums[i / W][i % W] = V::zero();
      if (NH <= kReadBound && tile.k_is_dense) {
        add_by_rows<NH, NT, kAhead>(q, state.q_length, rows, dim, sums);
      } else {
        add_by_columns<NH, NT, kAhead>(q, state.q_length, rows, dim, sums);
      }
      alignas(64) float scores[kSums];
      for (int i = 0; i < kSums / W; ++i)
        V::store(scores + i * W, V::mul(V::transpose_sum(sums[i]), scale));
      for (int h = 0; h < NH; ++h)
        std::memcpy(p + h * kPitch + t0, scores + h * NT, sizeof(float) * NT);
    }
  }

 private:
  static constexpr int64_t kSize = sizeof(E);

  // Of NT tokens.
  template <int NT>
  struct Rows {
    const E* k[NT];
    const unsigned char* ahead[NT];  // what is prefetched
  };

  // From token t0 of the tile on.
  template <int NH, int NT, bool kAhead>
  static Rows<NT> rows_of(const Tile& tile, const Tile* ahead, int t0) {
    Rows<NT> rows;
    for (int t = 0; t < NT; ++t) {
      const int token = kTile % NT == 0 || t0 + t < kTile ? t0 + t : static_cast<int>(kTile) - 1;
      rows.k[t] = reinterpret_cast<const E*>(tile.k[token] + tile.k_at);
      if (kAhead) rows.ahead[t] = ahead->k[row_ahead<NH>(*ahead, token)] + ahead->k_at;
    }
    return rows;
  }

  // Of turned keys, a token in each lane.  Sums of a few columns go into totals: products that are
  // alike are rounded alike, so that in a long chain of them errors add up.
  template <int NH, bool kAhead>
  static void of_turned(const typename P::Query* q, const typename Turned<V, E>::Keys& keys,
                        const Tile* ahead, float factor, int64_t dim, float* p) {
    constexpr int kVectors = kTile / W;
    constexpr int64_t kColumns = 16;
    static_assert(kTile * kSize == kCacheLine, "a column has a line of its own to prefetch");
    KeysAhead<NH> next(ahead, dim * kSize);
    F totals[NH * kVectors];
#pragma GCC unroll 16
    for (F& total : totals)
      total = V::zero();
    for (int64_t d = 0; d < dim;) {
      const int64_t end = dim - d < kColumns ? dim : d + kColumns;
      F sums[NH * kVectors];
#pragma GCC unroll 16
      for (F& sum : sums)
        sum = V::zero();
      for (; d < end; ++d, q += NH) {
        F key[kVectors];
        for (int i = 0; i < kVectors; ++i)
          key[i] = V::load(keys.columns[d] + i * W);
#pragma GCC unroll 8
        for (int h = 0; h < NH; ++h) {
          const F query = V::broadcast(q + h);
          for (int i = 0; i < kVectors; ++i)
            sums[h * kVectors + i] = V::fma(query, key[i], sums[h * kVectors + i]);
        }
        if (kAhead) next.prefetch_line();
      }
#pragma GCC unroll 16
      for (int i = 0; i < NH * kVectors; ++i)
        totals[i] = V::add(totals[i], sums[i]);
    }
    const F scale = V::broadcast(factor);
#pragma GCC unroll 16
    for (int i = 0; i < NH * kVectors; ++i)
      V::store(p + i / kVectors * kPitch + i % kVectors * W, V::mul(totals[i], scale));
  }

  // Of as many heads as the instruction set takes side by side.
  template <bool kAhead>
  static void side_by_side(const typename P::Query* q, const Tile& tile, const Tile* ahead,
                           float factor, int64_t dim, float* p) {
    using SideBySide = typename P::SideBySide;
    constexpr int NT = SideBySide::kTokens;
    constexpr int64_t kBytes = NT * SideBySide::kPiece * kSize;
    for (int t0 = 0; t0 < tile.count; t0 += NT) {
      const Rows<NT> rows = rows_of<P::kSideBySide, NT, kAhead>(tile, ahead, t0);
      SideBySide sums;
      Ahead next(rows.ahead, NT, dim * kSize);
      int64_t d = 0;
      for (; d + SideBySide::kPiece <= dim; d += SideBySide::kPiece) {
        sums.add(q, rows.k, d, SideBySide::kPiece);
        if (kAhead) next.prefetch_bytes(kBytes);
      }
      if (d < dim) sums.add(q, rows.k, d, dim - d);
      sums.store(factor, p + t0, kPitch);
    }
  }

  // The products of few heads, row after row: rows that follow each other stream by.
  template <int NH, int NT, bool kAhead>
  static void add_by_rows(const typename P::Query* q, int64_t q_length, const Rows<NT>& rows,
                          int64_t dim, F (*sums)[W]) {
#pragma GCC unroll 16
    for (int t = 0; t < NT; ++t) {
      if (kAhead) prefetch(rows.ahead[t], 0, dim * kSize);
      int64_t d = 0;
      for (; d + P::Key::kLength <= dim; d += P::Key::kLength)
        add<NH, NT>(q + d, q_length, t, P::Key::load(rows.k[t] + d), sums);
      if (d < dim)
        add<NH, NT>(q + d, q_length, t, P::Key::load_first(rows.k[t] + d, dim - d), sums);
    }
  }

  // The products of NH heads, columns outside.  Few rows are prefetched between their products;
  // many before them, since they may lie far apart.
  template <int NH, int NT, bool kAhead>
  static void add_by_columns(const typename P::Query* q, int64_t q_length, const Rows<NT>& rows,
                             int64_t dim, F (*sums)[W]) {
    constexpr bool kFew = NT <= 8;
    constexpr int64_t kBytes = NT * P::Key::kLength * kSize;
    Ahead next(rows.ahead, NT, dim * kSize);
    if (kAhead && !kFew) next.prefetch_bytes(NT * dim * kSize);
    int64_t d = 0;
    for (; d + P::Key::kLength <= dim; d += P::Key::kLength) {
      if (kAhead && kFew) next.prefetch_bytes(kBytes);
      for (int t = 0; t < NT; ++t)
        add<NH, NT>(q + d, q_length, t, P::Key::load(rows.k[t] + d), sums);
    }
    if (d == dim) return;
    if (kAhead && kFew) next.prefetch_bytes(kBytes);
    for (int t = 0; t < NT; ++t)
      add<NH, NT>(q + d, q_length, t, P::Key::load_first(rows.k[t] + d, dim - d), sums);
  }

  template <int NH, int NT>
  static void add(const typename P::Query* q, int64_t q_length, int t, const typename P::Key& key,
                  F (*sums)[W]) {
    for (int h = 0; h < NH; ++h) {
      F& sum = sums[(h * NT + t) / W][(h * NT + t) % W];
      sum = P::add(sum, q + h * q_length, key);
    }
  }
};

}  // namespace
}  // namespace flashdec::cpu
