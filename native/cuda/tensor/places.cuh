// Where the tiles of a unit are: in a row of the cache, or in pages.  Each kind begins a unit at a
// tile and steps through every so manieth one.
#pragma once

#include <type_traits>

#include "core/status.h"
#include "cuda/device/tensor_core.cuh"
#include "cuda/tensor/params.h"

namespace flashdec::cuda {

// Of one warp in a unit: its first token, and from there to that of the next tile.
struct Steps {
  int sequence;
  int token;
  int stride;
  int len;
};

// Contiguous: nothing to look up.
struct RowPlaces {
  Steps at = {};

  template <class Copy>
  __device__ void begin(const Copy&, const Steps& steps) {
    at = steps;
  }

  template <class Copy>
  __device__ void issue(const Copy& copy, uint32_t keys, uint32_t values, int stage, int head) {
    copy.issue_row(keys, values, stage, head, at.sequence, at.token, at.len - at.token);
    at.token += at.stride;
  }

  __device__ static bool bad(int) { return false; }
  template <class Sums>
  __device__ static void poison(Sums&) {}
};

// Pages, or, where page.value is 0, a row as well.  Page ids are judged when they are used: a warp
// that judged them when it asks would wait for them.
struct PageLookUp {
  const TensorParams& p;
  Steps at = {};
  int block = 0;           // of this lane's tokens: their page id, or the sequence
  int slot = 0;            // of the first of them
  bool wanted = false;     // this lane's page id is looked at
  uint32_t bad_tiles = 0;  // by stage: a page id of the tile was unusable

  __device__ void look_up(int token, bool mine) {
    slot = token;
    block = at.sequence;
    if (p.page.value == 0) return;
    // Beyond the longest sequence a token may pass 2^31.
    wanted = mine && static_cast<unsigned>(token) < static_cast<unsigned>(at.len);
    if (!wanted) return;
    const int page = p.page.divide(token);
    block = p.page_table[at.sequence * p.page_table_stride + page];
    slot -= page * static_cast<int>(p.page.value);
  }

  // The lanes whose page ids are unusable.
  __device__ unsigned judge() {
    if (p.page.value == 0) return 0;
    const bool bad = wanted && static_cast<unsigned>(block) >= static_cast<unsigned>(p.num_pages);
    if (bad || !wanted) block = -1;
    return __ballot_sync(kAllLanes, bad);
  }

  __device__ void note(int stage, bool bad) {
    const uint32_t bit = 1u << stage;
    bad_tiles = bad ? bad_tiles | bit : bad_tiles & ~bit;
  }
  __device__ bool bad(int stage) const { return (bad_tiles >> stage & 1) != 0; }

  // NaN goes through every merge.
  template <class Sums>
  __device__ void poison(Sums& l) const {
    if (threadIdx.x % 32 == 0 && p.status != nullptr) atomicOr(p.status, FLASHDEC_FAULT_PAGE);
    for (auto& of_tile : l)
      of_tile[0] = of_tile[1] = NAN;
  }
};

// Any page size: each lane looks up one token of a tile, a tile early.
template <class Shape>
struct TokenPages : PageLookUp {
  __device__ explicit TokenPages(const TensorParams& params) : PageLookUp{params} {}

  template <class Copy>
  __device__ void begin(const Copy&, const Steps& steps) {
    at = steps;
    look_up_tile();
  }

  template <class Copy>
  __device__ void issue(const Copy& copy, uint32_t keys, uint32_t values, int stage, int head) {
    note(stage, judge() != 0);
    copy.issue(keys, values, stage, head, block, slot, at.len - at.token);
    at.token += at.stride;
    look_up_tile();
  }

  __device__ void look_up_tile() {
    const int lane = static_cast<int>(threadIdx.x) % 32;
    look_up(at.token + lane, lane < Shape::kTile);
  }
};

// Pages that whole boxes of tokens fill: each lane looks up one box, so that one trip to memory
// serves the boxes of many tiles.
template <class Shape>
struct BoxPages : PageLookUp {
  int next = 0;            // tile of those looked up
  unsigned bad_lanes = 0;  // of those looked up

  __device__ explicit BoxPages(const TensorParams& params) : PageLookUp{params} {}

  template <class Copy>
  __device__ void begin(const Copy& copy, const Steps& steps) {
    at = steps;
    look_up_tiles(copy);
  }

  template <class Copy>
  __device__ void issue(const Copy& copy, uint32_t keys, uint32_t values, int stage, int head) {
    if (next == 0) bad_lanes = judge();
    const int boxes_log = copy.boxes_log();
    const int of_tile = (1 << boxes_log) - 1;
    const int first = next << boxes_log;
    const int from = first + (static_cast<int>(threadIdx.x) & of_tile);
    copy.issue(keys, values, stage, head, __shfl_sync(kAllLanes, block, from),
               __shfl_sync(kAllLanes, slot, from), 0);
    const unsigned lanes = (1u << (1 << boxes_log)) - 1;
    note(stage, (bad_lanes >> first & lanes) != 0);
    if ((++next << boxes_log) < 32) return;
    at.token += next * at.stride;
    look_up_tiles(copy);
  }

  template <class Copy>
  __device__ void look_up_tiles(const Copy& copy) {
    const int lane = static_cast<int>(threadIdx.x) % 32;
    const int tile = lane >> copy.boxes_log();
    const int box = lane - (tile << copy.boxes_log());
    next = 0;
    look_up(at.token + tile * at.stride + box * copy.box_tokens(), true);
  }
};

template <class Shape, class Copy>
using Pages = std::conditional_t<Copy::kBoxes, BoxPages<Shape>, TokenPages<Shape>>;

}  // namespace flashdec::cuda
