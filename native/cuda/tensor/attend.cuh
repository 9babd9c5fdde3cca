// What one warp does with its tiles: scores, softmax, weighted values, all in registers.
//
// The products are swapped: rows of K are the 16-row operand, and the queries, up to 8 heads, the
// 8-column one, so that a group of any size up to 8 wastes no row of a tile.  A lane holds, of
// every 16x8 result, the rows g and g + 8 and the columns 2c and 2c + 1, with g = lane / 4, c =
// lane % 4: of scores these are tokens and heads, of O columns of a row and heads.
#pragma once

#include <type_traits>

#include "core/softmax_state.h"
#include "cuda/device/memory.cuh"
#include "cuda/device/tensor_core.cuh"
#include "cuda/tensor/params.h"
#include "cuda/tensor/shape.h"

namespace flashdec::cuda {

// The running maximum m may lag behind the scores by kSlack before o and l are rescaled.  In
// float16 it is kept kHeadroom above the largest score's distance, so that small p stay normal
// numbers.
template <class E>
struct Lag;
template <>
struct Lag<__nv_bfloat16> {
  static constexpr float kShift = 0.0f;
  static constexpr float kSlack = 8.0f;  // p <= 2^8
};
template <>
struct Lag<__half> {
  static constexpr float kShift = 7.0f;
  static constexpr float kSlack = 15.0f;  // p <= 2^15 < 65504
};

// Where the rows of a tile lie: panels of 64 columns, 128 bytes a row, in bytes from one panel to
// the next, from one block of 16 rows to the next, and from the first half of such a block to the
// second.
struct TileLayout {
  int panel;
  int rows;
  int half;
};

// Panel after panel.
template <class Shape>
constexpr TileLayout kByPanels = {Shape::kTile * 128, 16 * 128, 8 * 128};

// Panels are swizzled as the tensor copies of sm_90 do it: the 16-byte chunk i of row r lies at
// i ^ (r % 8), so that eight rows of a matrix hit all banks once.
__device__ inline uint32_t chunk_address(uint32_t tile, const TileLayout& layout, int row,
                                         int chunk) {
  return tile + chunk / 8 * layout.panel + row / 16 * layout.rows + row / 8 % 2 * layout.half +
         row % 8 * 128 + (((chunk % 8) ^ (row % 8)) * 16);
}

// The same for the matrices that a lane loads: from `row` of the first 16 and `chunk`, 0 or 1, on,
// every block of 16 rows and two chunks.  To go on by an even number of chunks within a panel is an
// exclusive or, because tiles begin at multiples of 1 KB: one address to keep, not one for each.
struct Matrices {
  uint32_t first;

  __device__ Matrices(uint32_t tile, const TileLayout& layout, int row, int chunk)
      : first(chunk_address(tile, layout, row, chunk)) {}
  __device__ uint32_t at(const TileLayout& layout, int sub, int step) const {
    return (first ^ step % 4 * 32) + step / 4 * layout.panel + sub * layout.rows;
  }
};

struct Nothing {};

template <class E, class Shape>
struct Attention {
  static constexpr int kSteps = Shape::kHeadDim / 16;
  static constexpr int kSub = Shape::kTile / 16;
  static constexpr int kHeadTiles = Shape::kHeadTiles;

  // Whether there are registers for the queries of the next unit while one is at work.
  static constexpr bool kAsksAhead = kHeadTiles == 1;

  using Queries = uint32_t[kHeadTiles][kSteps][2];
  Queries q;
  std::conditional_t<kAsksAhead, Queries, Nothing> next;
  float o[kHeadTiles][kSteps][4];
  float m[kHeadTiles][2];
  float l[kHeadTiles][2];

  // Nothing: start() begins.
  __device__ Attention() {}

  // Asks for the queries of a unit.  If kAsksAhead, start() begins with it; or else nothing may be
  // at work.
  __device__ void ask(const EvenParams& p, int sequence, int first_head, int heads) {
    const int lane = threadIdx.x % 32;
    // Opaque: to compare it again costs less than to keep what came of it, from before the first
    // tile on.
    const int dim = opaque(p.head_dim);
#pragma unroll
    for (int t = 0; t < kHeadTiles; ++t) {
      const int head = 8 * t + lane / 4;
      const E* row = static_cast<const E*>(p.q) + sequence * p.q_stride_batch +
                     int64_t{first_head + head} * p.q_stride_head;
#pragma unroll
      for (int step = 0; step < kSteps; ++step)
#pragma unroll
        for (int half = 0; half < 2; ++half) {
          const int d = 16 * step + 8 * half;
          const bool live = head < heads && d < dim;  // dim is a multiple of 8
          asked()[t][step][half] =
              live ? *reinterpret_cast<const uint32_t*>(row + d + 2 * (lane % 4)) : 0u;
        }
    }
  }

  __device__ Queries& asked() {
    if constexpr (kAsksAhead) {
      return next;
    } else {
      return q;
    }
  }

  __device__ void start() {
    if constexpr (kAsksAhead) {
#pragma unroll
      for (int step = 0; step < kSteps; ++step)
#pragma unroll
        for (int half = 0; half < 2; ++half)
          q[0][step][half] = next[0][step][half];
    }
    reset();
  }

  __device__ void reset() {
#pragma unroll
    for (int t = 0; t < kHeadTiles; ++t) {
      m[t][0] = m[t][1] = -INFINITY;
      l[t][0] = l[t][1] = 0.0f;
    }
    clear_values();
  }

  __device__ void clear_values() {
#pragma unroll
    for (int t = 0; t < kHeadTiles; ++t)
#pragma unroll
      for (int step = 0; step < kSteps; ++step)
#pragma unroll
        for (int i = 0; i < 4; ++i)
          o[t][step][i] = 0.0f;
  }

  using Scores = float[kHeadTiles][kSub][4];

  // A chain of dependent products is as long as a row; two of half the length take less time.
  static constexpr int kChains = kHeadTiles * kSub == 1 ? 2 : 1;

  __device__ void score(uint32_t keys, const TileLayout& layout, Scores& s) const {
    const int lane = threadIdx.x % 32;
    float sums[kChains][kHeadTiles][kSub][4] = {};
    const Matrices rows(keys, layout, lane % 16, lane / 16);
#pragma unroll
    for (int step = 0; step < kSteps; ++step)
#pragma unroll
      for (int sub = 0; sub < kSub; ++sub) {
        uint32_t a[4];
        load_matrices(a, rows.at(layout, sub, step));
#pragma unroll
        for (int t = 0; t < kHeadTiles; ++t)
          multiply_add<E>(sums[step % kChains][t][sub], a, q[t][step][0], q[t][step][1]);
      }
#pragma unroll
    for (int t = 0; t < kHeadTiles; ++t)
#pragma unroll
      for (int sub = 0; sub < kSub; ++sub)
#pragma unroll
        for (int i = 0; i < 4; ++i)
          s[t][sub][i] =
              kChains == 1 ? sums[0][t][sub][i] : sums[0][t][sub][i] + sums[kChains - 1][t][sub][i];
  }

  // Scores into units of log2; tokens from `live` on do not take part.
  __device__ static void scale_and_mask(Scores& s, float factor, int live) {
    const int g = threadIdx.x % 32 / 4;
#pragma unroll
    for (int t = 0; t < kHeadTiles; ++t)
#pragma unroll
      for (int sub = 0; sub < kSub; ++sub)
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          s[t][sub][i] *= factor;
          if (live < Shape::kTile && 16 * sub + g + 8 * (i / 2) >= live) s[t][sub][i] = -INFINITY;
        }
  }

  // Moves m where a score is beyond its slack.  Each head decides by its own scores alone.
  __device__ void follow_maximum(const Scores& s) {
    bool beyond = false;
#pragma unroll
    for (int t = 0; t < kHeadTiles; ++t)
#pragma unroll
      for (int sub = 0; sub < kSub; ++sub)
#pragma unroll
        for (int i = 0; i < 4; ++i)
          beyond |= s[t][sub][i] > m[t][i % 2] + Lag<E>::kSlack;
    if (!__any_sync(kAllLanes, beyond)) return;
#pragma unroll
    for (int t = 0; t < kHeadTiles; ++t)
#pragma unroll
      for (int h = 0; h < 2; ++h) {
        float top = -INFINITY;
#pragma unroll
        for (int sub = 0; sub < kSub; ++sub)
          top = fmaxf(top, fmaxf(s[t][sub][h], s[t][sub][2 + h]));
#pragma unroll
        for (int distance = 4; distance < 32; distance *= 2)
          top = fmaxf(top, __shfl_xor_sync(kAllLanes, top, distance));
        if (!(top > m[t][h] + Lag<E>::kSlack)) continue;
        const float moved = top - Lag<E>::kShift;
        const float keep = exp2_fast(m[t][h] - moved);  // 0 the first time; NaN never: top > -inf
        m[t][h] = moved;
        l[t][h] *= keep;
#pragma unroll
        for (int step = 0; step < kSteps; ++step) {
          o[t][step][h] *= keep;
          o[t][step][2 + h] *= keep;
        }
      }
  }

  // Scores into what add_values takes; the first `live` tokens count.
  __device__ void weigh(Scores& s, float factor, int live) {
    scale_and_mask(s, factor, live);
    follow_maximum(s);
  }

  // o += p v, l += p.
  __device__ void add_values(uint32_t values, const TileLayout& layout, Scores& s) {
    const int lane = threadIdx.x % 32;
    uint32_t p[kHeadTiles][kSub][2];
#pragma unroll
    for (int t = 0; t < kHeadTiles; ++t) {
#pragma unroll
      for (int h = 0; h < 2; ++h) {
        const float reference = reference_score(m[t][h]);
        float sum = 0.0f;
#pragma unroll
        for (int sub = 0; sub < kSub; ++sub) {
          s[t][sub][h] = exp2_fast(s[t][sub][h] - reference);
          s[t][sub][2 + h] = exp2_fast(s[t][sub][2 + h] - reference);
          sum += s[t][sub][h] + s[t][sub][2 + h];
        }
        l[t][h] += sum;
      }
#pragma unroll
      for (int sub = 0; sub < kSub; ++sub)
#pragma unroll
        for (int half = 0; half < 2; ++half)
          p[t][sub][half] = transpose_matrix(pack<E>(s[t][sub][2 * half], s[t][sub][2 * half + 1]));
    }
    const Matrices rows(values, layout, lane % 8 + 8 * (lane / 16), lane / 8 % 2);
#pragma unroll
    for (int sub = 0; sub < kSub; ++sub)
#pragma unroll
      for (int step = 0; step < kSteps; ++step) {
        uint32_t a[4];
        load_matrices_transposed(a, rows.at(layout, sub, step));
#pragma unroll
        for (int t = 0; t < kHeadTiles; ++t)
          multiply_add<E>(o[t][step], a, p[t][sub][0], p[t][sub][1]);
      }
  }
};

}  // namespace flashdec::cuda
