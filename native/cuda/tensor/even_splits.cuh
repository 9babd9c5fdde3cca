// Fixed splits of sequences of one length: nodes of the tree go round as units do in even.cuh.
#pragma once

#include "cuda/tensor/even.cuh"
#include "cuda/tensor/sink.cuh"
#include "cuda/tensor/tree_reduce.cuh"

namespace flashdec::cuda {

// What a block knows of the launch.
struct EvenSplits {
  const TensorParams& all;
  int len;    // tokens of every sequence
  int level;  // of the nodes
  int tiles;  // of a sequence
  int nodes;  // of a unit
  int turns;  // of this block

  static constexpr bool kFixedSplits = true;

  __device__ EvenSplits(const TensorParams& p, const Survey& survey) : all(p), len(survey.common) {
    const Dealer dealer = {p};
    level = dealer.fold_level(survey);
    tiles = dealer.tiles(len);
    nodes = dealer.pieces(len, level);
    const int rest = nodes * static_cast<int>(p.all_units.value) - static_cast<int>(blockIdx.x);
    turns = rest > 0 ? p.grid.divide(rest - 1) + 1 : 0;
  }

  __device__ int first_round() const { return 0; }
  __device__ int rounds() const { return turns; }
  __device__ int end_of_split(const EvenUnit& unit, int begin) const {
    return min(begin + all.split_tiles, unit.tiles);
  }
  __device__ int node_tiles() const { return all.split_tiles << level; }

  // Neighbouring blocks take the same node of neighbouring units.
  __device__ EvenUnit unit(const EvenParams& p, int round) const {
    const int index = round * static_cast<int>(gridDim.x) + static_cast<int>(blockIdx.x);
    const int node = all.all_units.divide(index);
    const int unit = index - node * static_cast<int>(all.all_units.value);
    EvenUnit of;
    of.first = node * node_tiles();
    of.step = of.parts = 1;
    of.tiles = min(node_tiles(), tiles - of.first);
    of.sequence = p.units.divide(unit);
    of.head = unit - of.sequence * static_cast<int>(p.units.value);
    return of;
  }
};

template <class E, class Shape, class Copy, class Places>
__device__ inline void run_even_splits(const TensorParams& p, const Copy& copy,
                                       const Room<Shape>& room, Meeting<E, Shape>& meeting,
                                       const Survey& survey, const Places& places) {
  const EvenSplits deal(p, survey);
  EvenFeed<Shape, Copy, Places, EvenSplits> feed(p, deal, copy, places, room.warp_ring());
  feed.next_unit();
  wait_for_previous();
#pragma unroll 1
  for (int stage = 0; stage < Shape::kAhead; ++stage)
    feed.fill(stage);
  read_units(
      p, deal, copy, feed, meeting,
      [&](const Merge<E, Shape>& merge, const EvenUnit& unit, int split, int thread, int threads) {
        const bool last = (split + 1) * p.split_tiles >= unit.tiles;
        const NodeRow row(p, unit.sequence * deal.nodes, unit.head, deal.nodes);
        const int node = unit.first / deal.node_tiles();
        const Sink<E, Shape> sink = {p,
                                     unit.sequence,
                                     unit.head * p.group,
                                     p.group,
                                     deal.nodes > 1 ? row.slot(node) : kNoSlot,
                                     {split, deal.level, last},
                                     room.waiting()};
        sink.store(merge, thread, threads);
      });
  let_next_start();
  if (p.one_launch) reduce_even_tree<E>(p, deal.nodes, {true, true});
}

}  // namespace flashdec::cuda
