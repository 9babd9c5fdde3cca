// The loads of one warp: a ring of tiles that runs ahead of the arithmetic, across units.
#pragma once

#include "cuda/tensor/work.cuh"

namespace flashdec::cuda {

template <class Shape, class Copy>
struct Feed {
  const TensorParams& p;
  const Dealer<Shape>& dealer;
  const Partition& all;
  const Copy& copy;
  uint32_t ring;  // of this warp: kStages tiles of K and of V

  Walk<Shape> walk;
  bool more;
  int left;    // tiles of this warp to come in the work at hand
  int token;   // first of the next one
  int stride;  // tokens from there to the one after it
  int sequence;
  int head;
  int len;

  int block;           // of this lane's tokens of the next tile: its page id, or the sequence
  int slot;            // of the first of them
  bool wanted;         // this lane's page id is looked at
  uint32_t bad_tiles;  // by stage: a page id of the tile was unusable

  __device__ Feed(const TensorParams& params, const Dealer<Shape>& deal, const Partition& partition,
                  const Copy& copier, uint32_t first)
      : p(params),
        dealer(deal),
        all(partition),
        copy(copier),
        ring(first),
        walk(deal, partition),
        more(true),
        left(0),
        bad_tiles(0) {}

  __device__ uint32_t keys(int stage) const { return ring + stage * (2 * Shape::kTileBytes); }
  __device__ uint32_t values(int stage) const { return keys(stage) + Shape::kTileBytes; }

  // Asks for the next tile, and finds out where the one after it is.  The first call only does
  // that.
  __device__ void fill(int stage) {
    if (left > 0) {
      if (p.page.value != 0) judge_page(stage);
      copy.issue(keys(stage), values(stage), stage, head, block, slot, len - token);
      token += stride;
      --left;
    }
    Copy::commit();
    if (left == 0 && more) next_work();
    if (left > 0) look_up();
  }

  __device__ void next_work() {
    Work work;
    const int warp = threadIdx.x / 32;
    while ((more = walk.next(dealer, all, work)))
      if (work.tiles.count > warp) break;
    if (!more) return;
    left = (work.tiles.count - warp - 1) / Shape::kWarps + 1;
    token = (work.tiles.first + work.tiles.step * warp) * Shape::kTile;
    stride = work.tiles.step * Shape::kWarps * Shape::kTile;
    sequence = work.sequence;
    head = p.blocks.divide(work.unit);
    len = work.len;
  }

  // Not when it is asked for, because then the warp would wait for it.
  __device__ void judge_page(int stage) {
    const uint32_t bit = 1u << stage;
    const bool bad = wanted && static_cast<unsigned>(block) >= static_cast<unsigned>(p.num_pages);
    if (bad || !wanted) block = -1;
    bad_tiles = __any_sync(kAllLanes, bad) ? bad_tiles | bit : bad_tiles & ~bit;
  }

  // Where this lane's tokens of the next tile are; asked a tile early, so that the answer is there.
  __device__ void look_up() {
    const int offset = static_cast<int>(threadIdx.x % 32) * copy.tokens_per_lane();
    slot = token + offset;
    block = sequence;
    if (p.page.value == 0) return;
    const int page = p.page.divide(slot);
    wanted = offset < Shape::kTile && slot < len;
    if (wanted) block = p.page_table[sequence * p.page_table_stride + page];
    slot -= page * static_cast<int>(p.page.value);
  }
};

}  // namespace flashdec::cuda
