// The CPU kernel, once, over a small vector type V and an element type E.
//
// An instruction set is a file that defines V, includes this and instantiates attend<V, E>.  All of
// it has internal linkage, so that no code of one instruction set can be linked into another's.
//
// A split is taken in tiles of kTile tokens, each tile by up to kBlocks blocks of up to kHeads
// query heads of one key/value head:
//   scores   s[h][t] = q[h] . k[t]       a block of heads x tokens in registers, so that a k row is
//                                        converted once for kBlockHeads heads
//   softmax  p[h][t] = exp2(s - m)       with the running (m, l) of each head; o rescaled if m grew
//   weigh    o[h] += p[h][t] * v[t]      a block of heads x columns in registers over the tile,
//   whose
//                                        sum is then added to o with its error compensated
// The rows of the next tile are prefetched meanwhile, through the page table.
#pragma once

#include <cstring>

#include "core/convert.h"
#include "core/plan.h"
#include "core/softmax_state.h"
#include "cpu/rows.h"
#include "cpu/tile.h"

namespace flashdec::cpu {
namespace {

constexpr int kBlockHeads = 4;    // query heads in registers
constexpr int64_t kMaxRow = 256;  // the largest head_dim
constexpr int64_t kCacheLine = 64;

template <class V, class E>
struct Body {
  using F = typename V::F;
  static constexpr int W = V::kWidth;

  // Everything about the query heads at hand.  Columns past the row are zero.
  struct State {
    int heads;
    alignas(64) float q[kHeads][kMaxRow];  // scaled, so that scores are in units of log2
    alignas(64) float o[kHeads][kMaxRow];
    alignas(64) float error[kHeads][kMaxRow];  // of the sums in o: see CompensatedSum
    alignas(64) float p[kHeads][kTile];        // scores, then probabilities
    float m[kHeads];
    CompensatedSum l[kHeads];

    SoftmaxState sum(int h) const { return {m[h], l[h].value}; }
  };

  // The first n elements at p, zeros after them; reads nothing else.
  static F load_first(const E* p, int64_t n) {
    E buffer[W] = {};
    std::memcpy(buffer, p, static_cast<size_t>(n) * sizeof(E));
    return V::load(buffer);
  }

  static void store_first(E* p, F x, int64_t n) {
    E buffer[W];
    V::store(buffer, x);
    std::memcpy(p, buffer, static_cast<size_t>(n) * sizeof(E));
  }

  static const E* row(const unsigned char* address) { return reinterpret_cast<const E*>(address); }

  // exp2(x) for x <= 0: 2^round(x) times the Taylor series of 2^f, |f| <= 1/2, whose first term
  // left out is below 6e-9.
  static F exp2(F x) {
    // -200 underflows all the same, and keeps -inf out of f; the order of the operands keeps NaN.
    const F bounded = V::max(V::broadcast(-200.0f), x);
    const F n = V::round(bounded);
    const F f = V::sub(bounded, n);
    constexpr float kSeries[] = {1.52527338e-5f, 1.54035304e-4f, 1.33335581e-3f, 9.61812911e-3f,
                                 5.55041087e-2f, 2.40226507e-1f, 6.93147181e-1f, 1.0f};
    F sum = V::broadcast(kSeries[0]);
    for (int i = 1; i < 8; ++i)
      sum = V::fma(sum, f, V::broadcast(kSeries[i]));
    return V::scale_by_power(sum, n);
  }

  // The lines of `elements` elements at an address.  A tile's prefetches are spread over the work
  // on the tile before: in one burst they would fill the miss queue and stop the core.
  static void prefetch(const unsigned char* address, int64_t elements) {
    for (int64_t at = 0; at < elements * static_cast<int64_t>(sizeof(E)); at += kCacheLine)
      __builtin_prefetch(address + at, 0, 2);
  }

  // ---- scores ----

  template <int NH>
  static void score_block(State& state, int first, const Tile& tile, const Tile& next,
                          int64_t dim) {
    constexpr int NT = W / NH;
    for (int t0 = 0; t0 < tile.count; t0 += NT) {
      const E* k[NT];
      for (int t = 0; t < NT; ++t) {
        const int token = t0 + t < kTile ? t0 + t : kTile - 1;
        k[t] = row(tile.k[token]);
        prefetch(next.k[token], dim);
      }
      F sums[W];
      for (int i = 0; i < W; ++i)
        sums[i] = V::zero();
      int64_t d = 0;
      for (; d + W <= dim; d += W) {
        F q[NH];
        for (int h = 0; h < NH; ++h)
          q[h] = V::load(state.q[first + h] + d);
        for (int t = 0; t < NT; ++t) {
          const F column = V::load(k[t] + d);
          for (int h = 0; h < NH; ++h)
            sums[h * NT + t] = V::fma(q[h], column, sums[h * NT + t]);
        }
      }
      if (d < dim) {
        for (int t = 0; t < NT; ++t) {
          const F column = load_first(k[t] + d, dim - d);
          for (int h = 0; h < NH; ++h)
            sums[h * NT + t] = V::fma(V::load(state.q[first + h] + d), column, sums[h * NT + t]);
        }
      }
      alignas(64) float scores[W];
      V::store(scores, V::transpose_sum(sums));
      const int live = tile.count - t0 < NT ? tile.count - t0 : NT;
      for (int h = 0; h < NH; ++h)
        std::memcpy(state.p[first + h] + t0, scores + h * NT,
                    sizeof(float) * static_cast<size_t>(live));
    }
  }

  // ---- softmax ----

  static void rescale(float* o, float factor, int64_t dim_v) {
    const F f = V::broadcast(factor);
    for (int64_t d = 0; d < dim_v; d += W)
      V::store(o + d, V::mul(V::load(o + d), f));
  }

  static void soften(State& state, int h, int count, int64_t dim_v) {
    float* p = state.p[h];
    for (int t = count; t < kTile; ++t)
      p[t] = -INFINITY;
    F largest = V::load(p);
    for (int t = W; t < kTile; t += W)
      largest = V::max(largest, V::load(p + t));
    const float before = state.m[h];
    const float m = fmaxf(before, V::reduce_max(largest));
    if (m != before) {
      const float keep = rescale_factor(before, m);
      state.l[h] = scale(state.l[h], keep);
      rescale(state.o[h], keep, dim_v);
      rescale(state.error[h], keep, dim_v);
      state.m[h] = m;
    }
    const F reference = V::broadcast(reference_score(m));
    F added = V::zero();
    for (int t = 0; t < kTile; t += W) {
      const F weight = exp2(V::sub(V::load(p + t), reference));
      V::store(p + t, weight);
      added = V::add(added, weight);
    }
    state.l[h] = add(state.l[h], V::reduce_add(added));
  }

  // ---- weigh ----

  // A tile's sum into the split's, as add(CompensatedSum, float) does it.
  static void add_columns(State& state, int h, int64_t d, F term) {
    const F before = V::load(state.o[h] + d);
    const F corrected = V::sub(term, V::load(state.error[h] + d));
    const F value = V::add(before, corrected);
    V::store(state.o[h] + d, value);
    V::store(state.error[h] + d, V::nan_to_zero(V::sub(V::sub(value, before), corrected)));
  }

  template <int NH, int NV>
  static void weigh_columns(State& state, int first, const Tile& tile, const Tile& next,
                            int64_t d) {
    F o[NH][NV];
    for (int h = 0; h < NH; ++h)
      for (int i = 0; i < NV; ++i)
        o[h][i] = V::zero();
    for (int t = 0; t < tile.count; ++t) {
      const E* v = row(tile.v[t]) + d;
      prefetch(next.v[t] + d * static_cast<int64_t>(sizeof(E)), NV * W);
      F column[NV];
      for (int i = 0; i < NV; ++i)
        column[i] = V::load(v + i * W);
      for (int h = 0; h < NH; ++h) {
        const F weight = V::broadcast(state.p[first + h][t]);
        for (int i = 0; i < NV; ++i)
          o[h][i] = V::fma(weight, column[i], o[h][i]);
      }
    }
    for (int h = 0; h < NH; ++h)
      for (int i = 0; i < NV; ++i)
        add_columns(state, first + h, d + i * W, o[h][i]);
  }

  template <int NH>
  static void weigh_last_columns(State& state, int first, const Tile& tile, int64_t d, int64_t n) {
    F o[NH];
    for (int h = 0; h < NH; ++h)
      o[h] = V::zero();
    for (int t = 0; t < tile.count; ++t) {
      const F column = load_first(row(tile.v[t]) + d, n);
      for (int h = 0; h < NH; ++h)
        o[h] = V::fma(V::broadcast(state.p[first + h][t]), column, o[h]);
    }
    for (int h = 0; h < NH; ++h)
      add_columns(state, first + h, d, o[h]);
  }

  template <int NH>
  static void weigh_block(State& state, int first, const Tile& tile, const Tile& next,
                          int64_t dim_v) {
    constexpr int NV = V::kAccumulators / NH < 4 ? V::kAccumulators / NH : 4;
    int64_t d = 0;
    for (; d + NV * W <= dim_v; d += NV * W)
      weigh_columns<NH, NV>(state, first, tile, next, d);
    for (; d + W <= dim_v; d += W)
      weigh_columns<NH, 1>(state, first, tile, next, d);
    if (d < dim_v) weigh_last_columns<NH>(state, first, tile, d, dim_v - d);
  }

  // ---- one tile for one block ----

  template <int NH>
  static void attend_registers(State& state, int first, const Tile& tile, const Tile& next,
                               const Problem& problem) {
    score_block<NH>(state, first, tile, next, problem.head_dim);
    for (int h = first; h < first + NH; ++h)
      soften(state, h, tile.count, problem.head_dim_v);
    weigh_block<NH>(state, first, tile, next, problem.head_dim_v);
  }

  static void attend_block(State& state, const Tile& tile, const Tile& next,
                           const Problem& problem) {
    const Tile* ahead = &next;  // prefetched once
    int first = 0;
    for (; first + kBlockHeads <= state.heads; first += kBlockHeads, ahead = &tile)
      attend_registers<kBlockHeads>(state, first, tile, *ahead, problem);
    switch (state.heads - first) {
      case 3:
        attend_registers<3>(state, first, tile, *ahead, problem);
        break;
      case 2:
        attend_registers<2>(state, first, tile, *ahead, problem);
        break;
      case 1:
        attend_registers<1>(state, first, tile, *ahead, problem);
        break;
      default:
        break;
    }
  }

  // ---- queries and results ----

  static void load_queries(State& state, const Launch& launch, const WorkItem& item, int64_t head) {
    const Problem& problem = launch.plan.problem;
    const F factor = V::broadcast(problem.scale * kLog2E);
    for (int h = 0; h < state.heads; ++h) {
      const E* q = static_cast<const E*>(query_row(launch, item.sequence, head + h));
      for (int64_t d = 0; d < problem.head_dim; d += W) {
        const int64_t left = problem.head_dim - d;
        const F part = left >= W ? V::load(q + d) : load_first(q + d, left);
        V::store(state.q[h] + d, V::mul(part, factor));
      }
      for (int64_t d = 0; d < problem.head_dim_v; d += W) {
        V::store(state.o[h] + d, V::zero());
        V::store(state.error[h] + d, V::zero());
      }
      state.m[h] = -INFINITY;
      state.l[h] = {};
    }
  }

  static void store_output(State& state, int h, const Launch& launch, const WorkItem& item,
                           int64_t head) {
    const int64_t dim_v = launch.plan.problem.head_dim_v;
    E* o = static_cast<E*>(output_row(launch, item.sequence, head));
    const F l = V::broadcast(state.l[h].value);
    for (int64_t d = 0; d < dim_v; d += W) {
      const F part = V::div(V::load(state.o[h] + d), l);
      if (dim_v - d >= W) {
        V::store(o + d, part);
      } else {
        store_first(o + d, part, dim_v - d);
      }
    }
    store_lse(launch, item.sequence, head, state.sum(h));
  }

  static void store_part(State& state, int h, const Launch& launch, const WorkItem& item,
                         int64_t head) {
    const int64_t dim_v = launch.plan.problem.head_dim_v;
    const int64_t part = part_index(launch, item.sequence, head, item.split);
    launch.workspace.states[part] = state.sum(h);
    std::memcpy(launch.workspace.values + part * dim_v, state.o[h],
                sizeof(float) * static_cast<size_t>(dim_v));
  }

  // ---- one item ----

  static void attend_tile(const Launch& launch, const WorkItem& item, State* states, int64_t blocks,
                          const Tile& first, const Tile& next) {
    const Problem& problem = launch.plan.problem;
    const int64_t each = blocks / item.kv_heads;  // of a key/value head
    Tile tile = first, share = next;
    for (int64_t index = 0; index < item.kv_heads; ++index) {
      if (item.kv_heads > 1) {
        shift_tile(launch, first, index, &tile);
        share_tile(launch, item, next, index, &share);
      }
      for (int64_t i = 0; i < each; ++i)
        attend_block(states[index * each + i], tile, i == 0 ? share : tile, problem);
    }
  }

  // False if a page is outside the cache.
  static bool attend_split(const Launch& launch, const WorkItem& item, State* states,
                           int64_t blocks) {
    Tile tiles[2];
    if (!find_tile(launch, item, item.begin, &tiles[0])) return false;
    int current = 0;
    for (int64_t next = item.begin + kTile; next < item.end; next += kTile, current ^= 1) {
      if (!find_tile(launch, item, next, &tiles[current ^ 1])) return false;
      attend_tile(launch, item, states, blocks, tiles[current], tiles[current ^ 1]);
    }
    attend_tile(launch, item, states, blocks, tiles[current], tiles[current]);
    return true;
  }

  static void store_results(State& state, const Launch& launch, const WorkItem& item,
                            int64_t head) {
    for (int h = 0; h < state.heads; ++h) {
      if (item.whole) {
        store_output(state, h, launch, item, head + h);
      } else {
        store_part(state, h, launch, item, head + h);
      }
    }
  }

  // The query heads [first, first + count) of every key/value head of the item.
  template <int64_t kMost>
  static bool attend_heads(const Launch& launch, const WorkItem& item, int64_t first,
                           int64_t count) {
    const int64_t group = launch.plan.problem.group;
    const int64_t each = ceil_div(count, kHeads);
    const int64_t blocks = each * item.kv_heads;
    State states[kMost];  // the caller's stack may be small: no more than is used
    int64_t heads[kMost] = {};
    for (int64_t i = 0; i < blocks; ++i) {
      const int64_t done = i % each * kHeads;
      heads[i] = (item.kv_head + i / each) * group + first + done;
      states[i].heads = static_cast<int>(count - done < kHeads ? count - done : kHeads);
      load_queries(states[i], launch, item, heads[i]);
    }
    if (!attend_split(launch, item, states, blocks)) return false;
    for (int64_t i = 0; i < blocks; ++i)
      store_results(states[i], launch, item, heads[i]);
    return true;
  }

  static void attend(const Launch& launch, const WorkItem& item) {
    constexpr int64_t kMost = kHeads * kBlocks;
    const int64_t group = launch.plan.problem.group;
    for (int64_t first = 0; first < group; first += kMost) {
      const int64_t count = group - first < kMost ? group - first : kMost;
      const bool one = item.kv_heads == 1 && count <= kHeads;
      const bool done = one ? attend_heads<1>(launch, item, first, count)
                            : attend_heads<kBlocks>(launch, item, first, count);
      if (!done) return poison(launch, item);
    }
  }
};

}  // namespace
}  // namespace flashdec::cpu
