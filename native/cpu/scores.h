// s[h][t] = q[h] . k[t]: heads x tokens in registers, so that a row of k is read once for all heads
// and a query once for several tokens.
#pragma once

#include "cpu/prefetch.h"
#include "cpu/state.h"
#include "cpu/tile.h"

namespace flashdec::cpu {
namespace {

constexpr int kScoreHeads = 4;  // at a time

template <class V, class E>
struct Scores {
  using F = typename V::F;
  using P = Products<V, E>;
  static constexpr int W = V::kWidth;
  static constexpr int kSums = V::kAccumulators;  // of a head and a token each
  static_assert(kSums % W == 0 && kSums <= kWidest, "whole vectors, which the rows of p can take");

  // Of NH heads of the block from its `first` on, times `factor`; the kTile rows `ahead`, where
  // there are any, are prefetched meanwhile.
  template <int NH, bool kAhead>
  static void block(State<V, E>& state, const Block& heads, int first, const Tile& tile,
                    const unsigned char* const* ahead, float factor, int64_t dim) {
    constexpr int NT = kSums / NH;
    const typename P::Query* const q = state.q_row(heads.head + first);
    float* const p = state.p_row(first);
    const F scale = V::broadcast(factor);
    for (int t0 = 0; t0 < tile.count; t0 += NT) {
      const E* k[NT];
      for (int t = 0; t < NT; ++t) {
        k[t] = reinterpret_cast<const E*>(tile.k[token<NT>(t0, t)]);
        if (kAhead && NT > kFewTokens)
          prefetch(ahead[token<NT>(t0, t)], 0, dim * static_cast<int64_t>(sizeof(E)));
      }
      F sums[kSums / W][W];
      for (int i = 0; i < kSums; ++i)
        sums[i / W][i % W] = V::zero();
      int64_t d = 0;
      for (; d + P::Key::kLength <= dim; d += P::Key::kLength) {
        if (kAhead && NT <= kFewTokens) prefetch_columns<NT>(ahead, t0, d);
        for (int t = 0; t < NT; ++t)
          add<NH, NT>(q + d, state.q_length, t, P::Key::load(k[t] + d), sums);
      }
      if (d < dim) {
        if (kAhead && NT <= kFewTokens) prefetch_columns<NT>(ahead, t0, d);
        for (int t = 0; t < NT; ++t)
          add<NH, NT>(q + d, state.q_length, t, P::Key::load_first(k[t] + d, dim - d), sums);
      }
      alignas(64) float scores[kSums];
      for (int i = 0; i < kSums / W; ++i)
        V::store(scores + i * W, V::mul(V::transpose_sum(sums[i]), scale));
      for (int h = 0; h < NH; ++h)
        std::memcpy(p + h * kPitch + t0, scores + h * NT, sizeof(float) * NT);
    }
  }

 private:
  // Up to so many rows are prefetched column by column, between their products; more of them row by
  // row, since rows may lie far apart.
  static constexpr int kFewTokens = 8;

  // The last one again where as many as are taken at a time do not divide a tile.
  template <int NT>
  static int token(int t0, int t) {
    return kTile % NT == 0 || t0 + t < kTile ? t0 + t : static_cast<int>(kTile) - 1;
  }

  // Of the rows of NT tokens what lies beside the elements from d on.
  template <int NT>
  static void prefetch_columns(const unsigned char* const* rows, int t0, int64_t d) {
    constexpr int64_t kBytes = P::Key::kLength * static_cast<int64_t>(sizeof(E));
    const int64_t from = d * static_cast<int64_t>(sizeof(E));
    if (from % kCacheLine != 0) return;
    for (int t = 0; t < NT; ++t)
      prefetch(rows[token<NT>(t0, t)], from, from + kBytes);
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
