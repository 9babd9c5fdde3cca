// Where the tiles of a piece are: in rows of the cache, or in pages.  Each kind begins at a tile
// and steps through every so manieth one.
#pragma once

#include <type_traits>

#include "core/status.h"
#include "cuda/device/tensor_core.cuh"
#include "cuda/tensor/params.h"

namespace flashdec::cuda {

// Of one warp in a piece: its first token, and from there to that of the next tile.
struct Steps {
  int sequence;
  int token;
  int stride;
  int len;
};

// Contiguous: nothing to look up.
struct RowPlaces {
  static constexpr bool kPaged = false;
  Steps at = {};

  __device__ explicit RowPlaces(const EvenParams&) {}

  template <class Copy>
  __device__ void begin(const Copy&, const Steps& steps) {
    at = steps;
  }
  // Before anything may be read; then begin_aimed() is the rest of begin().
  template <class Copy>
  __device__ void aim(const Copy&, const Steps& steps) {
    at = steps;
  }
  __device__ void begin_aimed() {}

  template <class Copy>
  __device__ void issue(Copy& copy, uint32_t keys, uint32_t values, int stage, int head) {
    copy.issue_row(keys, values, stage, head, at.sequence, at.token, at.len - at.token);
    at.token += at.stride;
  }

  // The length was a guess until now.
  template <class Copy>
  __device__ void settle(const Copy&, int len) {
    at.len = len;
  }

  __device__ static bool bad(int) { return false; }
  template <class Sums>
  __device__ static void poison(Sums&) {}
};

// Page ids are judged when they are used: a warp that judged them when it asks would wait for them.
struct PageLookUp {
  static constexpr bool kPaged = true;
  const TensorParams& p;
  Steps at = {};
  int token = 0;                   // that this lane looks up, the first of a row or of a box
  int page = 0;                    // its page id; -1 if there is none
  int slot = 0;                    // its place there
  const int32_t* where = nullptr;  // the page id
  bool bad_page = false;           // the id is unusable
  uint32_t bad_tiles = 0;          // by stage: a page id of the tile was unusable

  __device__ explicit PageLookUp(const TensorParams& params) : p(params) {}

  // Beyond the longest sequence a token may pass 2^31.
  __device__ bool is_live() const {
    return static_cast<unsigned>(token) < static_cast<unsigned>(at.len);
  }

  __device__ const int32_t* entry(int index) const {
    return p.page_table + (at.sequence * p.page_table_stride + index);
  }

  __device__ void locate(int first) {
    token = first;
    const int index = p.page.divide(token);
    where = entry(index);
    slot = token - index * static_cast<int>(p.page.value);
  }
  __device__ void fetch() { page = is_live() ? *where : -1; }

  __device__ void look_up(int first, bool mine) {
    token = mine ? first : at.len;
    page = -1;
    if (!is_live()) return;
    locate(first);
    page = *where;
  }

  // The lanes whose page ids are unusable.
  __device__ unsigned judge() {
    bad_page = is_live() && static_cast<unsigned>(page) >= static_cast<unsigned>(p.num_pages);
    if (bad_page) page = -1;
    return __ballot_sync(kAllLanes, bad_page);
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

// Any page size: each lane looks up one token of a tile, or two, a tile early.
template <class Shape>
struct TokenPages : PageLookUp {
  static constexpr int kRows = Shape::kTile > 32 ? 2 : 1;  // of a lane

  // The second row of this lane.
  int next_page = -1;
  int next_slot = 0;

  __device__ explicit TokenPages(const TensorParams& params) : PageLookUp(params) {}

  template <class Copy>
  __device__ void begin(const Copy&, const Steps& steps) {
    at = steps;
    look_up_tile();
  }

  template <class Copy>
  __device__ void issue(Copy& copy, uint32_t keys, uint32_t values, int stage, int head) {
    unsigned bad = judge();
    typename Copy::Rows rows = {{page}, {slot}};
    if (kRows == 2) {
      const bool unusable =
          next_is_live() && static_cast<unsigned>(next_page) >= static_cast<unsigned>(p.num_pages);
      bad |= __ballot_sync(kAllLanes, unusable);
      rows.block[kRows - 1] = unusable ? -1 : next_page;
      rows.slot[kRows - 1] = next_slot;
    }
    note(stage, bad != 0);
    copy.issue(keys, values, head, rows, at.len - at.token);
    at.token += at.stride;
    look_up_tile();
  }

  __device__ bool next_is_live() const {
    return static_cast<unsigned>(at.token + lane() + 32) < static_cast<unsigned>(at.len);
  }
  __device__ static int lane() { return static_cast<int>(threadIdx.x) % 32; }

  __device__ void look_up_tile() {
    if (kRows == 2) {
      look_up(at.token + lane() + 32, true);
      next_page = page;
      next_slot = slot;
    }
    look_up(at.token + lane(), lane() < Shape::kTile);
  }

  // It never asks ahead of the lengths.
  template <class Copy>
  __device__ void settle(const Copy&, int) {}
};

// Pages that whole boxes of tokens fill: each lane looks up one box, so that one trip to memory
// serves the boxes of many tiles.
template <class Shape>
struct BoxPages : PageLookUp {
  int next = 0;            // tile of those looked up
  unsigned bad_lanes = 0;  // of those looked up

  __device__ explicit BoxPages(const TensorParams& params) : PageLookUp(params) {}

  template <class Copy>
  __device__ void begin(const Copy& copy, const Steps& steps) {
    at = steps;
    look_up_tiles(copy);
  }
  // All of begin() but to read, and the entry of the first tile into L2.
  template <class Copy>
  __device__ void aim(const Copy& copy, const Steps& steps) {
    at = steps;
    locate_tiles(copy);
    if (threadIdx.x % 32 == 0 && is_live()) prefetch(where);
  }
  __device__ void begin_aimed() { fetch(); }

  template <class Copy>
  __device__ void issue(Copy& copy, uint32_t keys, uint32_t values, int stage, int head) {
    if (next == 0) bad_lanes = judge();
    const int boxes_log = copy.boxes_log();
    const int of_tile = (1 << boxes_log) - 1;
    const int first = next << boxes_log;
    const int from = first + (static_cast<int>(threadIdx.x) & of_tile);
    copy.issue(keys, values, stage, head, __shfl_sync(kAllLanes, page, from),
               __shfl_sync(kAllLanes, slot, from));
    note_lanes(stage, first, boxes_log);
    if ((++next << boxes_log) < 32) return;
    at.token += next * at.stride;
    look_up_tiles(copy);
  }

  __device__ void note_lanes(int stage, int first, int boxes_log) {
    const unsigned lanes = (1u << (1 << boxes_log)) - 1;
    note(stage, (bad_lanes >> first & lanes) != 0);
  }

  template <class Copy>
  __device__ void locate_tiles(const Copy& copy) {
    const int lane = static_cast<int>(threadIdx.x) % 32;
    const int tile = lane >> copy.boxes_log();
    const int box = lane - (tile << copy.boxes_log());
    next = 0;
    locate(at.token + tile * at.stride + box * copy.box_tokens());
  }
  template <class Copy>
  __device__ void look_up_tiles(const Copy& copy) {
    locate_tiles(copy);
    fetch();
  }

  // The length was a guess until now, when the first tile has been asked for.  Ids that are not
  // live after all are not looked at.
  template <class Copy>
  __device__ void settle(const Copy& copy, int len) {
    at.len = len;
    const bool live = is_live();
    bad_lanes = __ballot_sync(kAllLanes, bad_page && live);
    if (!live) page = -1;
    for (int stage = 0; stage < next; ++stage)
      note_lanes(stage, stage << copy.boxes_log(), copy.boxes_log());
  }
};

template <class Shape, class Copy>
using Pages = std::conditional_t<Copy::kBoxes, BoxPages<Shape>, TokenPages<Shape>>;

}  // namespace flashdec::cuda
