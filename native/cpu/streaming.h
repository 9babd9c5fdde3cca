// A tile of several key/value heads with one query head each, whose rows lie side by side: tokens
// outside and heads inside, so that the rows stream by in the order of memory, which the
// processor's own prefetchers follow.
//
// A head's sums are those of scores.h, softening.h and weighing.h, in the same order: its bits do
// not depend on the heads beside it.
#pragma once

#include "core/plan.h"
#include "cpu/scores.h"
#include "cpu/softening.h"
#include "cpu/weighing.h"

namespace flashdec::cpu {
namespace {

// Scores and probabilities are p[token][head], and lanes[lane][head].
template <class V, class E>
class Streaming {
 public:
  using S = State<V, E>;

  // `tile` has the rows of the first key/value head.
  static void attend(S& state, int64_t heads, const Tile& tile, const Problem& problem) {
    score(state, heads, tile, problem.scale * kLog2E, problem.head_dim);
    for (int64_t first = 0; first < heads; first += W)
      soften(state, first, heads - first < W ? static_cast<int>(heads - first) : W, tile.count);
    int t = 0;
    for (; t + kTokens <= tile.count; t += kTokens)
      weigh<kTokens>(state, heads, tile, t, problem.head_dim_v);
    for (; t < tile.count; ++t)
      weigh<1>(state, heads, tile, t, problem.head_dim_v);
  }

  // As Softening::fold.
  static void fold(S& state, int64_t heads) {
    alignas(64) float lanes[W];
    for (int64_t head = 0; head < heads; ++head) {
      for (int i = 0; i < W; ++i) {
        float* const lane = state.lanes + i * kMostHeads + head;
        lanes[i] = *lane;
        *lane = 0.0f;
      }
      state.l[head] = add(state.l[head], V::reduce_add(V::load(lanes)));
    }
  }

 private:
  using F = typename V::F;
  using P = Products<V, E>;
  using Columns = Chunk<V, E>;
  static constexpr int W = V::kWidth;
  static constexpr int kTokens = 8;  // weighed at once, for which o is loaded and stored once
  static constexpr int64_t kBytesAhead = 1024;  // of their rows, more than the processor follows
  static constexpr int64_t kSize = sizeof(E);

  static const E* row_of(const unsigned char* bytes) { return reinterpret_cast<const E*>(bytes); }

  static void score(S& state, int64_t heads, const Tile& tile, float factor, int64_t dim) {
    constexpr int kSums = V::kAccumulators;
    static_assert(kMostHeads % kSums == 0, "p has room for whole vectors");
    const F scale = V::broadcast(factor);
    for (int t = 0; t < tile.count; ++t)
      for (int64_t first = 0; first < heads; first += kSums) {
        F sums[kSums / W][W];
#pragma GCC unroll 16
        for (int i = 0; i < kSums; ++i) {
          const int64_t head = first + i < heads ? first + i : heads - 1;
          const E* const k = row_of(tile.k[t] + head * tile.k_head);
          prefetch_next_page(k);
          sums[i / W][i % W] = product(state.q_row(head), k, dim);
        }
        for (int i = 0; i < kSums / W; ++i)
          V::store(state.p + t * kMostHeads + first + i * W,
                   V::mul(V::transpose_sum(sums[i]), scale));
      }
  }

  // With a row at the beginning of a page of memory: the processor's own prefetchers begin anew
  // with the next one.
  static void prefetch_next_page(const E* k) {
    constexpr int64_t kPage = 4096, kBeginning = 256;
    if (reinterpret_cast<uintptr_t>(k) % kPage >= kBeginning) return;
    prefetch(reinterpret_cast<const unsigned char*>(k), kPage, kPage + 2 * kCacheLine);
  }

  static F product(const typename P::Query* q, const E* k, int64_t dim) {
    F sum = V::zero();
    int64_t d = 0;
    for (; d + P::Key::kLength <= dim; d += P::Key::kLength)
      sum = P::add(sum, q + d, P::Key::load(k + d));
    if (d < dim) sum = P::add(sum, q + d, P::Key::load_first(k + d, dim - d));
    return sum;
  }

  // Of `count` heads, a lane each.
  static void soften(S& state, int64_t first, int count, int tokens) {
    using Soft = Softening<V, E>;
    float* const p = state.p + first;
    F largest = V::load(p);
    for (int t = 1; t < tokens; ++t)
      largest = V::max(largest, V::load(p + t * kMostHeads));
    alignas(64) float most[W], reference[W] = {};
    V::store(most, largest);
    for (int i = 0; i < count; ++i) {
      const int64_t head = first + i;
      if (most[i] > state.m[head] + Soft::kSlack) move(state, head, most[i]);
      reference[i] = reference_score(state.m[head]);
    }
    const F reference_scores = V::load(reference);
    for (int t = 0; t < tokens; ++t) {
      const F weight = Soft::exp2(V::sub(V::load(p + t * kMostHeads), reference_scores));
      V::store(p + t * kMostHeads, weight);
      float* const lane = state.lanes + t % W * kMostHeads + first;
      V::store(lane, V::add(V::load(lane), weight));
    }
  }

  static void move(S& state, int64_t head, float m) {
    const float keep = Softening<V, E>::move(state, head, m);
    for (int i = 0; i < W; ++i)
      state.lanes[i * kMostHeads + head] *= keep;
  }

  // Tokens t to t + NT - 1 of the tile into its sums, and those into o after the last token.
  template <int NT>
  static void weigh(S& state, int64_t heads, const Tile& tile, int t, int64_t dim_v) {
    const bool begins = t == 0, ends = t + NT == tile.count;
    for (int64_t head = 0; head < heads; ++head) {
      const int64_t bytes = head * tile.v_head;
      const float* const p = state.p + t * kMostHeads + head;
      for (int64_t d = 0; d < dim_v; d += Columns::kLength) {
        const int64_t at = head * state.o_length + d;
        F a = begins ? V::zero() : V::load(state.tile + at);
        F b = begins ? V::zero() : V::load(state.tile + at + W);
#pragma GCC unroll 8
        for (int i = 0; i < NT; ++i) {
          const unsigned char* const row = tile.v[t + i] + bytes;
          const Columns v = Columns::load_at(row_of(row), d, dim_v);
          prefetch(row + d * kSize, kBytesAhead, kBytesAhead + Columns::kLength * kSize);
          const F weight = V::broadcast(p + i * kMostHeads);
          a = V::fma(weight, v.a, a);
          b = V::fma(weight, v.b, b);
        }
        float* const sums = ends ? state.o + at : state.tile + at;
        V::store(sums, ends ? V::add(V::load(sums), a) : a);
        V::store(sums + W, ends ? V::add(V::load(sums + W), b) : b);
      }
    }
  }
};

}  // namespace
}  // namespace flashdec::cpu
