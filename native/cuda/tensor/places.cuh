// Where the tiles of a sequence are: in a row of the cache, or in pages.
#pragma once

#include "core/status.h"
#include "cuda/device/tensor_core.cuh"
#include "cuda/tensor/params.h"

namespace flashdec::cuda {

// Contiguous: nothing to look up.
struct RowPlaces {
  int sequence;
  int token;  // first of the next tile

  template <class Copy>
  __device__ void look_up(const Copy&, int of_sequence, int first, int) {
    sequence = of_sequence;
    token = first;
  }

  template <class Copy>
  __device__ void issue(const Copy& copy, uint32_t keys, uint32_t values, int stage, int head,
                        int live) {
    copy.issue_row(keys, values, stage, head, sequence, token, live);
  }

  __device__ static bool bad(int) { return false; }
  template <class Sums>
  __device__ static void poison(Sums&) {}
};

// Pages, or, where page.value is 0, a row as well.  Page ids are asked for a tile early, and judged
// when they are used: a warp that judged them at once would wait for them.
template <class Shape>
struct PagePlaces {
  const TensorParams& p;
  int block = 0;           // of this lane's tokens of the next tile: its page id, or the sequence
  int slot = 0;            // of the first of them
  bool wanted = false;     // this lane's page id is looked at
  uint32_t bad_tiles = 0;  // by stage: a page id of the tile was unusable

  template <class Copy>
  __device__ void look_up(const Copy& copy, int sequence, int first, int len) {
    const int offset = static_cast<int>(threadIdx.x % 32) * copy.tokens_per_lane();
    slot = first + offset;
    block = sequence;
    if (p.page.value == 0) return;
    const int page = p.page.divide(slot);
    wanted = offset < Shape::kTile && slot < len;
    if (wanted) block = p.page_table[sequence * p.page_table_stride + page];
    slot -= page * static_cast<int>(p.page.value);
  }

  template <class Copy>
  __device__ void issue(const Copy& copy, uint32_t keys, uint32_t values, int stage, int head,
                        int live) {
    if (p.page.value != 0) judge(stage);
    copy.issue(keys, values, stage, head, block, slot, live);
  }

  __device__ void judge(int stage) {
    const uint32_t bit = 1u << stage;
    const bool unusable =
        wanted && static_cast<unsigned>(block) >= static_cast<unsigned>(p.num_pages);
    if (unusable || !wanted) block = -1;
    bad_tiles = __any_sync(kAllLanes, unusable) ? bad_tiles | bit : bad_tiles & ~bit;
  }

  __device__ bool bad(int stage) const { return (bad_tiles >> stage & 1) != 0; }

  // A page id was unusable: NaN goes through every merge.
  template <class Sums>
  __device__ void poison(Sums& l) const {
    if (threadIdx.x % 32 == 0 && p.status != nullptr) atomicOr(p.status, FLASHDEC_FAULT_PAGE);
    for (auto& of_tile : l)
      of_tile[0] = of_tile[1] = NAN;
  }
};

}  // namespace flashdec::cuda
