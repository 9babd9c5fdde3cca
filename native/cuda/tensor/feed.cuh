// The loads of one warp: a ring of tiles that runs ahead of the arithmetic, across units.
#pragma once

#include "cuda/tensor/places.cuh"
#include "cuda/tensor/walk.cuh"

namespace flashdec::cuda {

template <class Shape, class Copy>
struct Feed {
  const TensorParams& p;
  const Dealer& dealer;
  const Partition& all;
  const Copy& copy;
  uint32_t ring;  // of this warp: kStages tiles of K and of V

  Walk walk;
  int left;  // tiles of this warp to come in the work at hand
  int head;
  Pages<Shape, Copy> places;

  __device__ Feed(const TensorParams& params, const Dealer& deal, const Partition& partition,
                  const Copy& copier, uint32_t first)
      : p(params),
        dealer(deal),
        all(partition),
        copy(copier),
        ring(first),
        walk(deal, partition),
        left(0),
        places(params) {}

  __device__ uint32_t keys(int stage) const { return ring + stage * (2 * Shape::kTileBytes); }
  __device__ uint32_t values(int stage) const { return keys(stage) + Shape::kTileBytes; }

  // Asks for the next tile; after the last one of a unit finds out where the next unit is.
  __device__ void fill(int stage) {
    if (left > 0) {
      places.issue(copy, keys(stage), values(stage), stage, head);
      if (--left == 0) next_work();
    }
    Copy::commit();
  }

  __device__ void next_work() {
    Work work;
    const int warp = threadIdx.x / 32;
    do {
      if (!walk.next(dealer, all, work)) return;
    } while (work.tiles.count <= warp);
    left = (work.tiles.count - warp - 1) / Shape::kWarps + 1;
    head = p.blocks.divide(work.unit);
    places.begin(copy, {work.sequence, (work.tiles.first + work.tiles.step * warp) * Shape::kTile,
                        work.tiles.step * Shape::kWarps * Shape::kTile, work.len});
  }
};

}  // namespace flashdec::cuda
