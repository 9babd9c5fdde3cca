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

  // Of NH heads of the block from its `first` on, times `factor`; the lines of `ahead` are
  // prefetched meanwhile.
  template <int NH>
  static void block(State<V, E>& state, const Block& heads, int first, const Tile& tile,
                    const Ahead& ahead, float factor, int64_t dim) {
    const typename P::Query* q[NH];
    for (int h = 0; h < NH; ++h)
      q[h] = state.q_row(heads.head + first + h);
    constexpr int NT = kSums / NH;
    const F scale = V::broadcast(factor);
    for (int t0 = 0; t0 < tile.count; t0 += NT) {
      const E* k[NT];
      for (int t = 0; t < NT; ++t) {
        const int token = t0 + t < kTile ? t0 + t : kTile - 1;
        k[t] = reinterpret_cast<const E*>(tile.k[token]);
        prefetch(ahead.rows[token], ahead.begin, ahead.end);
      }
      F sums[kSums / W][W];
      for (int i = 0; i < kSums; ++i)
        sums[i / W][i % W] = V::zero();
      int64_t d = 0;
      for (; d + P::Key::kLength <= dim; d += P::Key::kLength)
        for (int t = 0; t < NT; ++t)
          add<NH, NT>(q, d, t, P::Key::load(k[t] + d), sums);
      if (d < dim)
        for (int t = 0; t < NT; ++t)
          add<NH, NT>(q, d, t, P::Key::load_first(k[t] + d, dim - d), sums);
      alignas(64) float scores[kSums];
      for (int i = 0; i < kSums / W; ++i)
        V::store(scores + i * W, V::mul(V::transpose_sum(sums[i]), scale));
      for (int h = 0; h < NH; ++h)
        std::memcpy(state.p[first + h] + t0, scores + h * NT, sizeof(float) * NT);
    }
  }

 private:
  template <int NH, int NT>
  static void add(const typename P::Query* const* q, int64_t d, int t, const typename P::Key& key,
                  F (*sums)[W]) {
    for (int h = 0; h < NH; ++h) {
      F& sum = sums[(h * NT + t) / W][(h * NT + t) % W];
      sum = P::add(sum, q[h] + d, key);
    }
  }
};

}  // namespace
}  // namespace flashdec::cpu
