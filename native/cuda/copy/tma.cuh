// Tiles by the tensor copies of sm_90: one lane asks, the hardware computes addresses, swizzles,
// and fills what lies outside the cache with zeros.
#pragma once

#include "cuda/copy/tensor_map.h"
#include "cuda/device/barrier.cuh"
#include "cuda/device/tensor_copy.cuh"
#include "cuda/tensor/attend.cuh"

namespace flashdec::cuda {

template <class Shape>
struct TmaCopy {
  using Source = TmaMaps;
  const Source& maps;
  uint32_t barriers;  // of this warp
  uint64_t policy;

  __device__ TmaCopy(const Source& source, uint32_t first_barrier, bool keeps)
      : maps(source), barriers(first_barrier) {
    if (threadIdx.x % 32 == 0 && threadIdx.x / 32 < Shape::kWarps) {
      fetch_map(maps.k);
      fetch_map(maps.v);
      for (int stage = 0; stage < Shape::kStages; ++stage)
        init_barrier(barriers + 8 * stage, 1);
      fence_barriers();
    }
    __syncwarp();
    keep(keeps);
  }

  // Whether what is read may stay in L2.
  __device__ void keep(bool keeps) { policy = cache_policy(keeps); }

  static constexpr bool kBoxes = true;
  __device__ int box_tokens() const { return maps.box_tokens; }
  __device__ int boxes_log() const { return maps.boxes_log; }
  // Of one block of 16 rows, or one panel, it is known beforehand.
  __device__ TileLayout layout() const {
    if (Shape::kTile == 16 || Shape::kPanels == 1) return kByPanels<Shape>;
    return {maps.panel_bytes, maps.rows_bytes, maps.half_bytes};
  }

  // A tile of consecutive tokens of a sequence.
  __device__ void issue_row(uint32_t keys, uint32_t values, int stage, int head, int sequence,
                            int token, int) const {
    if (!elect_lane()) return;
    const uint32_t barrier = barriers + 8 * stage;
    expect_bytes(barrier, 2 * Shape::kTileBytes);
    copy_row(keys, values, barrier, head, sequence, token);
  }

  // `block` of lane i: the page (or sequence) of row i of boxes, `slot` its first token there.
  __device__ void issue(uint32_t keys, uint32_t values, int stage, int head, int block,
                        int slot) const {
    const int lane = static_cast<int>(threadIdx.x) % 32;
    const uint32_t barrier = barriers + 8 * stage;
    if (lane == 0) expect_bytes(barrier, 2 * Shape::kTileBytes);
    if (lane >> maps.boxes_log != 0) return;
    const int offset = lane * maps.box_bytes;
    copy_row(keys + offset, values + offset, barrier, head, block, slot);
  }

  // A row of boxes: one for all panels, or one for each.  How many there are is asked after the
  // first, and nothing is skipped where that is all, because in a short run a jump costs as much as
  // the boxes do.
  __device__ void copy_row(uint32_t keys, uint32_t values, uint32_t barrier, int head, int block,
                           int token) const {
    int column = 0;
#pragma unroll 1
    do {
      start_copy(keys, maps.k, barrier, column, token, head, block, policy);
      start_copy(values, maps.v, barrier, column, token, head, block, policy);
      keys += layout().panel;
      values += layout().panel;
      column += 64;
    } while (Shape::kPanels > 1 && column < 64 * maps.row_boxes);
  }

  __device__ static void commit() {}
  // Values come with the keys.
  __device__ static void issue_values() {}
  __device__ static void wait_values() {}

  __device__ void wait(int stage, uint32_t parity) const {
    wait_barrier(barriers + 8 * stage, parity);
  }

  // The boxes bring rows past the end: their weight is 0, but 0 * NaN is NaN.
  __device__ void clear_tail(uint32_t values, int live) const {
    constexpr int kChunks = Shape::kHeadDim / 8;
    for (int i = live * kChunks + threadIdx.x % 32; i < Shape::kTile * kChunks; i += 32)
      clear_shared(chunk_address(values, layout(), i / kChunks, i % kChunks));
    fence_copies();  // before the ring comes round
    __syncwarp();
  }
};

}  // namespace flashdec::cuda
