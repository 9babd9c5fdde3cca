// The split kernel where every sequence has the same length: the most common case, and one where a
// microsecond shows.  It does what split.cuh does with a fraction of the instructions: a short run
// is bound by how fast they come.
//
// Block c of G takes the units c, c + G, ...; of the units left over after whole rounds each is cut
// into parts for neighbouring blocks.  A block reads its part first, so that the others' parts are
// there when it has read the rest.
#pragma once

#include "cuda/device/dependency.cuh"
#include "cuda/tensor/exchange.cuh"
#include "cuda/tensor/meeting.cuh"
#include "cuda/tensor/places.cuh"
#include "cuda/tensor/shape.h"

namespace flashdec::cuda {

// Of one block of a unit; more would need the transfers of split.cuh.
constexpr int64_t kEvenTokens = 65536;

// One unit, or a part of one: tiles first, first + step, ...
struct EvenUnit {
  int sequence;
  int head;
  int first;
  int step;
  int tiles;
  int parts;  // of the unit
};

// What a block knows of the launch.
struct Even {
  int len;    // tokens of every sequence
  int tiles;  // of a unit
  int whole;  // rounds
  // This block's part of a unit left over.
  int cut;  // the unit
  int part;
  int parts;  // 0: it has none
  int part_tiles;

  static constexpr bool kFixedSplits = false;
  __device__ int first_round() const { return parts > 0 ? -1 : 0; }
  __device__ int rounds() const { return whole; }
  __device__ static int end_of_split(const EvenUnit& unit, int) { return unit.tiles; }
  __device__ Cut shared() const { return {static_cast<int>(blockIdx.x) - part, 1, part, parts}; }

  // Of round -1: this block's part of a unit left over.
  __device__ EvenUnit unit(const EvenParams& p, int round) const {
    const bool is_whole = round >= 0;
    const int index =
        is_whole ? round * static_cast<int>(gridDim.x) + static_cast<int>(blockIdx.x) : cut;
    EvenUnit of;
    of.first = is_whole ? 0 : part;
    of.step = of.parts = is_whole ? 1 : parts;
    of.tiles = is_whole ? tiles : part_tiles;
    of.sequence = p.units.divide(index);
    of.head = index - of.sequence * static_cast<int>(p.units.value);
    return of;
  }
};

// Of the length that the host knows.
__device__ inline Even even_of(const EvenParams& p) {
  Even even = {p.kv_len, p.tiles, p.whole, 0, 0, 0, 0};
  const int block = static_cast<int>(blockIdx.x);
  if (block >= p.cut_blocks) return even;
  const int cut = p.parts.divide(block);
  even.parts = static_cast<int>(p.parts.value);
  even.part = block - cut * even.parts;
  even.cut = p.first_cut + cut;
  even.part_tiles = p.part_tiles + (even.part < p.part_rest ? 1 : 0);
  return even;
}

// The same for one found on the device.
template <class Shape>
__device__ inline Even even_of(const TensorParams& p, int len) {
  Even even = {len, (len - 1) / Shape::kTile + 1, p.rounds.whole, 0, 0, 0, 0};
  const int parts = min(p.most_parts, max(even.tiles / static_cast<int>(kLeastTiles), 1));
  const int block = static_cast<int>(blockIdx.x);
  if (block >= p.rounds.left_over * parts) return even;
  const int cut = block / parts;
  even.parts = parts;
  even.part = block - cut * parts;
  even.cut = p.rounds.whole * static_cast<int>(gridDim.x) + cut;
  even.part_tiles = (even.tiles - even.part + parts - 1) / parts;
  return even;
}

// Where a spare stage is: the one whose tile was taken last.
template <class Shape>
__device__ inline int stage_before(int stage) {
  return (stage == 0 ? Shape::kStages : stage) - 1;
}

// The loads of one warp, which run ahead of the arithmetic.
template <class Shape, class Copy, class Places, class Deal = Even>
struct EvenFeed {
  const EvenParams& p;
  const Deal& deal;
  const Copy& copy;
  Places places;
  uint32_t ring;
  int round;  // the next one
  int left;   // tiles of this warp to come in the unit at hand
  int head;

  __device__ EvenFeed(const EvenParams& params, const Deal& all, const Copy& copier,
                      const Places& in, uint32_t first)
      : p(params),
        deal(all),
        copy(copier),
        places(in),
        ring(first),
        round(all.first_round()),
        left(0) {}

  __device__ uint32_t keys(int stage) const { return ring + stage * (2 * Shape::kTileBytes); }
  __device__ uint32_t values(int stage) const { return keys(stage) + Shape::kTileBytes; }

  __device__ void next_unit() {
    const int warp = threadIdx.x / 32;
    while (left <= 0 && round < deal.rounds()) {
      const EvenUnit unit = deal.unit(p, round++);
      left = (unit.tiles - warp + Shape::kWarps - 1) / Shape::kWarps;
      if (left <= 0) continue;
      head = unit.head;
      places.begin(copy, {unit.sequence, (unit.first + unit.step * warp) * Shape::kTile,
                          unit.step * Shape::kWarps * Shape::kTile, deal.len});
    }
  }

  // Asks for the next tile; after the last one of a unit finds out where the next unit is.
  __device__ void fill(int stage) {
    if (left > 0) {
      places.issue(copy, keys(stage), values(stage), stage, head);
      if (--left == 0) next_unit();
    }
    Copy::commit();
  }
};

template <class E, class Shape>
__device__ inline void ask(const EvenParams& p, Attention<E, Shape>& attention,
                           const EvenUnit& unit) {
  attention.ask(p, unit.sequence, unit.head * p.group, p.group);
}

// By `threads` threads, of which this is number `thread`.
template <class E, class Shape>
__device__ inline void store_even(const EvenParams& p, const Even& even,
                                  const Merge<E, Shape>& merge, const EvenUnit& unit, int thread,
                                  int threads) {
  merge.for_each_quad(
      p, p.group, thread, threads, [&](int head, int column, float4 o, SoftmaxState state) {
        if (unit.parts > 1) {
          const int quad = head * static_cast<int>(p.row_quads.value) + column / 4;
          store_packet(p, even.shared().slot(even.part), quad, o, state);
        } else {
          store_normalised<E>(p, unit.sequence, unit.head * p.group + head, column, o, state);
        }
      });
}

// This block's share of the columns of the unit that it has a part of.
template <class E>
__device__ inline void reduce_cut(const EvenParams& p, const Even& even, const Shares& shares,
                                  const Receiver& receive) {
  const EvenUnit unit = even.unit(p, -1);
  const Cut cut = even.shared();
  Reader<E>{p, cut, receive, shares, unit.sequence, unit.head * p.group}.reduce();
}

// All that `deal` has for this block.  With fixed splits the warps meet at the end of each, or else
// of each unit: `store(merge, unit, split, thread, threads)`.
template <class E, class Shape, class Feed, class Copy, class Deal, class Store>
__device__ inline void read_units(const EvenParams& p, const Deal& deal, const Copy& copy,
                                  Feed& feed, Meeting<E, Shape>& meeting, const Store& store) {
  const int warp = threadIdx.x / 32;
  int stage = 0;
  uint32_t parity = 0;
  Attention<E, Shape> attention;
  if (deal.first_round() < deal.rounds()) ask(p, attention, deal.unit(p, deal.first_round()));
#pragma unroll 1
  for (int round = deal.first_round(); round < deal.rounds(); ++round) {
    const EvenUnit unit = deal.unit(p, round);
    const bool last_unit = round + 1 == deal.rounds();
    attention.start();
    if (!last_unit) ask(p, attention, deal.unit(p, round + 1));
    int live = deal.len - (unit.first + unit.step * warp) * Shape::kTile;
    bool bad = false;
    int begin = 0;
    int split = 0;
    bool more;
    do {
      const int end = deal.end_of_split(unit, begin);
      more = Deal::kFixedSplits && end < unit.tiles;
#pragma unroll 1
      for (int i = begin + warp; i < end; i += Shape::kWarps) {
        copy.wait(stage, parity);
        if (Shape::kAhead < Shape::kStages) feed.fill(stage_before<Shape>(stage));
        if (live < Shape::kTile) copy.clear_tail(feed.values(stage), live);
        attention.take(feed.keys(stage), feed.values(stage), p.score_factor, live);
        bad |= feed.places.bad(stage);
        __syncwarp();  // every lane has read the tile
        if (Shape::kAhead == Shape::kStages) feed.fill(stage);
        live -= unit.step * Shape::kWarps * Shape::kTile;
        if (++stage == Shape::kStages) {
          stage = 0;
          parity ^= 1;
        }
      }
      if (bad) feed.places.poison(attention.l);
      meeting.enter();
      meeting.merge().template leave<false>(attention, attention.l, p.group);
      meeting.merge().leave_states(attention, attention.l);
      meeting.template leave<Deal::kFixedSplits>(
          last_unit && !more, [&](const Merge<E, Shape>& merge, int thread, int threads) {
            store(merge, unit, split, thread, threads);
          });
      if (more) attention.reset();
      begin = end;
      ++split;
    } while (more);
  }
}

template <class E, class Shape, class Copy>
__global__ void __launch_bounds__(Shape::kThreads, 1)
    even_split(const __grid_constant__ EvenParams p,
               const __grid_constant__ typename Copy::Source source) {
  extern __shared__ char memory[];
  const Room<Shape> room(memory);
  const Copy copy(source, room.copy_barriers(), true);
  Meeting<E, Shape> meeting(room.buffers, room.meeting_barriers());
  const Even even = even_of(p);
  EvenFeed<Shape, Copy, RowPlaces> feed(p, even, copy, {}, room.warp_ring());
  feed.next_unit();
  wait_for_previous();
#pragma unroll 1
  for (int stage = 0; stage < Shape::kAhead; ++stage)
    feed.fill(stage);

  read_units(p, even, copy, feed, meeting,
             [&](const Merge<E, Shape>& merge, const EvenUnit& unit, int, int thread, int threads) {
               store_even<E>(p, even, merge, unit, thread, threads);
             });
  let_next_start();
  if (even.parts > 0 && p.one_launch) reduce_cut<E>(p, even, p.shares, {true, true});
}

}  // namespace flashdec::cuda
