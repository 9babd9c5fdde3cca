// Tiles by cp.async, 16 bytes a lane: every GPU from sm_80, and page sizes that are no multiple
// of 8. Rows that are not live are filled with zeros, so nothing outside the live tokens is read at
// all.
//
// A warp has room for one tile.  The next tile's K is asked for once this one's has been
// multiplied, its V once this one's has been added up; each is a group of copies, and one group may
// be on its way while the other is waited for.
#pragma once

#include "core/plan.h"
#include "cuda/copy/tile_size.h"
#include "cuda/device/async_copy.cuh"
#include "cuda/tensor/attend.cuh"

namespace flashdec::cuda {

struct AsyncSource {
  const void* k;
  const void* v;
  Strides k_strides;
  Strides v_strides;
  int head_dim;
  int head_dim_v;

  static AsyncSource make(const Launch& launch, const TileSize&) {
    const Problem& problem = launch.plan.problem;
    const Operands& x = launch.operands;
    return {x.k,
            x.v,
            x.k_strides,
            x.v_strides,
            static_cast<int>(problem.head_dim),
            static_cast<int>(problem.head_dim_v)};
  }
  void aim(const Operands& x) {
    k = x.k;
    v = x.v;
  }
};

template <class Shape>
struct AsyncCopy {
  using Source = AsyncSource;
  static constexpr bool kBoxes = false;
  static constexpr int kChunks = Shape::kHeadDim / 8;
  static constexpr int kRows = Shape::kTile > 32 ? 2 : 1;  // of a lane

  // Where rows lane, lane + 32 of a tile are: page (or sequence), < 0 outside the cache; and place.
  struct Rows {
    int block[kRows];
    int slot[kRows];
  };
  // The tile whose values are to be asked for.
  struct Pending {
    bool there;
    uint32_t values;
    int head;
    int live;
    Rows rows;
  };

  const Source& x;
  Pending pending;

  __device__ AsyncCopy(const Source& source, uint32_t, bool) : x(source), pending{} {}

  __device__ static constexpr TileLayout layout() { return kByPanels<Shape>; }

  __device__ void copy_rows(uint32_t tile, const void* base, const Strides& strides,
                            int dim) const {
    const char* bytes = static_cast<const char*>(base) + pending.head * strides.head * 2;
    constexpr int kRowsOfLane = Shape::kTile / kRows;
#pragma unroll
    for (int part = 0; part < kRows; ++part) {
#pragma unroll 4
      for (int i = 0; i < kRowsOfLane * kChunks / 32; ++i) {
        const int index = 32 * i + static_cast<int>(threadIdx.x) % 32;
        const int lane = index / kChunks;
        const int row = kRowsOfLane * part + lane;
        const int chunk = index - lane * kChunks;
        const int from = __shfl_sync(kAllLanes, pending.rows.block[part], lane);
        const int token = __shfl_sync(kAllLanes, pending.rows.slot[part], lane);
        const bool reads = row < pending.live && from >= 0 && chunk * 8 < dim;
        const int64_t place = from * strides.batch + token * strides.token + chunk * 8;
        copy_chunk(chunk_address(tile, layout(), row, chunk), reads ? bytes + 2 * place : bytes,
                   reads ? 16 : 0);
      }
    }
  }

  // Asks for the keys of a tile; issue_values() for its values.
  __device__ void issue(uint32_t keys, uint32_t values, int head, const Rows& rows, int live) {
    pending = {true, values, head, live, rows};
    copy_rows(keys, x.k, x.k_strides, x.head_dim);
  }

  // A tile of consecutive tokens of a sequence.
  __device__ void issue_row(uint32_t keys, uint32_t values, int, int head, int sequence, int token,
                            int live) {
    Rows rows;
#pragma unroll
    for (int i = 0; i < kRows; ++i) {
      rows.block[i] = sequence;
      rows.slot[i] = token + 32 * i + static_cast<int>(threadIdx.x) % 32;
    }
    issue(keys, values, head, rows, live);
  }

  __device__ void issue_values() {
    if (pending.there) copy_rows(pending.values, x.v, x.v_strides, x.head_dim_v);
    pending.there = false;
    commit();
  }

  // After every issue, also of nothing, so that groups count tiles.
  __device__ static void commit() { commit_copies(); }

  // For the keys: the values of the same tile may still be on their way.
  __device__ static void wait(int, uint32_t) { wait_values(); }
  // For the values: the keys of the next tile may.
  __device__ static void wait_values() {
    wait_for_copies();
    __syncwarp();
  }

  __device__ static void clear_tail(uint32_t, int) {}
};

}  // namespace flashdec::cuda
