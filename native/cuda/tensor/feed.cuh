// The loads of one warp: a ring of tiles that runs ahead of the arithmetic, across units.
#pragma once

#include "cuda/tensor/places.cuh"
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

  PagePlaces<Shape> places;

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
        places{params} {}

  __device__ uint32_t keys(int stage) const { return ring + stage * (2 * Shape::kTileBytes); }
  __device__ uint32_t values(int stage) const { return keys(stage) + Shape::kTileBytes; }

  // Asks for the next tile, and finds out where the one after it is.  The first call only does
  // that.
  __device__ void fill(int stage) {
    if (left > 0) {
      places.issue(copy, keys(stage), values(stage), stage, head, len - token);
      token += stride;
      --left;
    }
    Copy::commit();
    if (left == 0 && more) next_work();
    look_up();
  }

  __device__ void look_up() {
    if (left > 0) places.look_up(copy, sequence, token, len);
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
};

}  // namespace flashdec::cuda
