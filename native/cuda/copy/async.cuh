// Tiles by cp.async, 16 bytes a lane: every GPU from sm_80, and page sizes that are no multiple
// of 8. Rows that are not live are filled with zeros, so nothing outside the live tokens is read at
// all.
#pragma once

#include "core/problem.h"
#include "cuda/tensor/attend.cuh"

namespace flashdec::cuda {

struct AsyncSource {
  const void* k;
  const void* v;
  Strides k_strides;
  Strides v_strides;
  int head_dim;
  int head_dim_v;
};

template <class Shape>
struct AsyncCopy {
  using Source = AsyncSource;
  static constexpr int kChunks = Shape::kHeadDim / 8;

  const Source& x;

  __device__ AsyncCopy(const Source& source, uint32_t, bool) : x(source) {}

  static constexpr bool kBoxes = false;

  __device__ static void copy_chunk(uint32_t target, const char* source, int bytes) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(target), "l"(source),
                 "r"(bytes)
                 : "memory");
  }

  __device__ void copy_rows(uint32_t tile, const void* base, const Strides& strides, int dim,
                            int head, int block, int slot, int live) const {
    const char* bytes = static_cast<const char*>(base) + head * strides.head * 2;
#pragma unroll
    for (int i = 0; i < Shape::kTile * kChunks / 32; ++i) {
      const int index = 32 * i + static_cast<int>(threadIdx.x) % 32;
      const int row = index / kChunks;
      const int chunk = index % kChunks;
      const int from = __shfl_sync(kAllLanes, block, row);
      const int token = __shfl_sync(kAllLanes, slot, row);
      const bool reads = row < live && from >= 0 && chunk * 8 < dim;
      const int64_t place = from * strides.batch + token * strides.token + chunk * 8;
      copy_chunk(chunk_address<Shape>(tile, row, chunk), reads ? bytes + 2 * place : bytes,
                 reads ? 16 : 0);
    }
  }

  // `block` of lane i: the page (or sequence) of row i of the tile, < 0 outside the cache.
  __device__ void issue(uint32_t keys, uint32_t values, int, int head, int block, int slot,
                        int live) const {
    copy_rows(keys, x.k, x.k_strides, x.head_dim, head, block, slot, live);
    copy_rows(values, x.v, x.v_strides, x.head_dim_v, head, block, slot, live);
  }

  // A tile of consecutive tokens of a sequence.
  __device__ void issue_row(uint32_t keys, uint32_t values, int stage, int head, int sequence,
                            int token, int live) const {
    issue(keys, values, stage, head, sequence, token + static_cast<int>(threadIdx.x) % 32, live);
  }

  // After every issue, also of nothing, so that groups count tiles.
  __device__ static void commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }

  __device__ static void wait(int, uint32_t) {
    asm volatile("cp.async.wait_group %0;" ::"n"(Shape::kAhead - 1) : "memory");
    __syncwarp();
  }

  __device__ static void clear_tail(uint32_t, int) {}
};

}  // namespace flashdec::cuda
