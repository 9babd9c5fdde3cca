// o[h] += p[h][t] * v[t]: heads x columns in registers over the tile.  The sums of tiles are added
// up as they are while they are few; then that is added to what came before, its error compensated.
#pragma once

#include "cpu/compensated.h"
#include "cpu/prefetch.h"
#include "cpu/state.h"
#include "cpu/tile.h"

namespace flashdec::cpu {
namespace {

template <class V, class E>
struct Weighing {
  using F = typename V::F;
  using Columns = Chunk<V, E>;
  using Turning = typename Turned<V, E>::Turning;
  static constexpr int W = V::kWidth;

  // Loops over accumulators are written out (unroll): GCC keeps the arrays in memory otherwise.
  // What comes next is prefetched after the products, which it would hold up before them.

  // Heads at a time: with a chunk of columns each they fill the registers.
  static constexpr int kMostHeads = V::kAccumulators / 2 < kHeads ? V::kAccumulators / 2 : kHeads;

  // Of NH heads of the block from its `first` on; the rows of `next`, where there are any, are
  // prefetched meanwhile, and keys are turned, or some of them.
  template <int NH>
  static void block(State<V, E>& state, const Block& heads, int first, const Tile& tile,
                    const Tile* next, Turning* turning, int64_t dim_v) {
    constexpr int kFit = V::kAccumulators / NH / 2;
    static_assert(kFit > 0 && (kFit & (kFit - 1)) == 0, "sweep halves it");
    int64_t d = 0;
    if (next != nullptr) {
      sweep<NH, kFit, true>(state, heads, first, tile, next, turning, dim_v, &d);
    } else {
      sweep<NH, kFit, false>(state, heads, first, tile, next, turning, dim_v, &d);
    }
    if (d < dim_v) last_columns<NH>(state, heads, first, tile, d, dim_v);
  }

  // The sums of the latest tiles go into those before.
  static void fold(State<V, E>& state, int64_t heads) {
    for (int64_t head = 0; head < heads; ++head)
      for (int64_t d = 0; d < state.o_length; d += W) {
        F error;
        V::store(state.total_row(head) + d, take(state, head, d, &error));
        if (state.folds > 0) V::store(state.error_row(head) + d, error);
      }
    ++state.folds;
  }

  // The sums of a split's tiles, of a chunk of columns; the latest ones are forgotten.
  static Columns take(State<V, E>& state, int64_t head, int64_t d) {
    F error;
    const F a = take(state, head, d, &error);
    return {a, take(state, head, d + W, &error)};
  }

 private:
  static F take(State<V, E>& state, int64_t head, int64_t d, F* error) {
    float* const o = state.o_row(head) + d;
    F sum = V::load(state.total_before(head) + d);
    *error = V::load(state.error_before(head) + d);
    add_compensated<V>(&sum, error, V::load(o));
    V::store(o, V::zero());
    return sum;
  }

  static const E* row(const unsigned char* address) { return reinterpret_cast<const E*>(address); }

  // From column d on, NC chunks at a time, then half as many: whole rows where they fit, which the
  // processor's own prefetchers follow, and enough sums that none waits for another.
  template <int NH, int NC, bool kAhead>
  static void sweep(State<V, E>& state, const Block& heads, int first, const Tile& tile,
                    const Tile* next, Turning* turning, int64_t dim_v, int64_t* d) {
    for (; *d + NC * Columns::kLength <= dim_v; *d += NC * Columns::kLength)
      columns<NH, NC, kAhead>(state, heads, first, tile, next, turning, *d, dim_v);
    if constexpr (NC > 1)
      sweep<NH, NC / 2, kAhead>(state, heads, first, tile, next, turning, dim_v, d);
  }

  template <int NH, int NC, bool kAhead>
  static void columns(State<V, E>& state, const Block& heads, int first, const Tile& tile,
                      const Tile* next, Turning* turning, int64_t d, int64_t dim_v) {
    constexpr int64_t kBytes = NC * Columns::kLength * static_cast<int64_t>(sizeof(E));
    const int64_t from = d * static_cast<int64_t>(sizeof(E));
    const int64_t at = from + tile.v_at, ahead = from + (kAhead ? next->v_at : 0);
    // With these columns the row's next ones go into the first cache, while there are any: loads
    // that skip columns of row after row wait for the second cache each, behind what is prefetched.
    const int64_t soon = d + 2 * NC * Columns::kLength <= dim_v ? at + kBytes : at;
    const float* const p = state.p_row(first);
    float* const o = state.o_row(heads.head + first) + d;
    F a[NH * NC], b[NH * NC];
#pragma GCC unroll 16
    for (int i = 0; i < NH * NC; ++i)
      a[i] = b[i] = V::zero();
    int t = 0;
    if constexpr (NH >= Turned<V, E>::kFewestHeads) {
      const int64_t left = turning->units() * Turning::kSteps;
      for (; t < left && t + Turning::kSteps <= tile.count; t += Turning::kSteps) {
        typename Turning::Unit unit;
        add_and_turn<NH, NC, kAhead>(turning, tile.v + t, at, soon, next, t, ahead, p + t, a, b,
                                     &unit);
      }
    }
    for (; t < tile.count; ++t) {
      prefetch_near(tile.v[t] + soon, kBytes);
      add_products<NH, NC>(tile.v[t] + at, p + t, a, b);
      if (kAhead) prefetch(next->v[row_ahead<NH>(*next, t)] + ahead, 0, kBytes);
    }
#pragma GCC unroll 16
    for (int i = 0; i < NH * NC; ++i)
      add(o + i / NC * state.o_length + i % NC * Columns::kLength, a[i], b[i]);
  }

  // Four tokens from t on, of which v are the rows, a step of turning a unit before each.
  template <int NH, int NC, bool kAhead, int i = 0, class T>
  [[gnu::always_inline]] static void add_and_turn(T* turning, const unsigned char* const* v,
                                                  int64_t at, int64_t soon, const Tile* next, int t,
                                                  int64_t ahead, const float* p, F* a, F* b,
                                                  typename T::Unit* unit) {
    constexpr int64_t kBytes = NC * Columns::kLength * static_cast<int64_t>(sizeof(E));
    turning->template step<i>(unit);
    prefetch_near(v[i] + soon, kBytes);
    add_products<NH, NC>(v[i] + at, p + i, a, b);
    if (kAhead) prefetch(next->v[row_ahead<NH>(*next, t + i)] + ahead, 0, kBytes);
    if constexpr (i + 1 < T::kSteps)
      add_and_turn<NH, NC, kAhead, i + 1>(turning, v, at, soon, next, t, ahead, p, a, b, unit);
  }

  // Of a token's row and its weights, to a and b.
  template <int NH, int NC>
  [[gnu::always_inline]] static void add_products(const unsigned char* from, const float* p, F* a,
                                                  F* b) {
    Columns v[NC];
    for (int c = 0; c < NC; ++c)
      v[c] = Columns::load(row(from) + c * Columns::kLength);
#pragma GCC unroll 16
    for (int i = 0; i < NH * NC; ++i) {
      const F weight = V::broadcast(p + i / NC * kPitch);
      a[i] = V::fma(weight, v[i % NC].a, a[i]);
      b[i] = V::fma(weight, v[i % NC].b, b[i]);
    }
  }

  template <int NH>
  static void last_columns(State<V, E>& state, const Block& heads, int first, const Tile& tile,
                           int64_t d, int64_t dim_v) {
    F a[NH], b[NH];
    for (int h = 0; h < NH; ++h)
      a[h] = b[h] = V::zero();
    for (int t = 0; t < tile.count; ++t) {
      const Columns v = Columns::load_first(row(tile.v[t] + tile.v_at) + d, dim_v - d);
      for (int h = 0; h < NH; ++h) {
        const F weight = V::broadcast(state.p_row(first + h) + t);
        a[h] = V::fma(weight, v.a, a[h]);
        b[h] = V::fma(weight, v.b, b[h]);
      }
    }
    for (int h = 0; h < NH; ++h)
      add(state.o_row(heads.head + first + h) + d, a[h], b[h]);
  }

  static void add(float* o, F a, F b) {
    V::store(o, V::add(V::load(o), a));
    V::store(o + W, V::add(V::load(o + W), b));
  }
};

}  // namespace
}  // namespace flashdec::cpu
