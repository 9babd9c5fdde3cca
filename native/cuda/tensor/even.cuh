// The split kernel where every sequence has the same length, which the host knows: the most common
// case, and one where a microsecond shows.  It does what split.cuh does with a fraction of the
// instructions: a short run is bound by how fast they arrive from memory.
//
// Block c of G takes the units c, c + G, ...; of the units left over after whole rounds each is cut
// into parts for neighbouring blocks.  A block reads its part first, so that the others' parts are
// there when it has read the rest.
#pragma once

#include "cuda/tensor/meeting.cuh"
#include "cuda/tensor/shape.h"

namespace flashdec::cuda {

// Of one block of a unit; more would need the transfers of split.cuh.
constexpr int64_t kEvenTokens = 65536;

// One unit, or a part of one.
struct EvenUnit {
  int sequence;
  int head;
  int part;
  int parts;
  int tiles;  // of this part

  // Of round -1: this block's part of a unit left over.
  __device__ EvenUnit(const EvenParams& p, int round) {
    int index = round * static_cast<int>(gridDim.x) + static_cast<int>(blockIdx.x);
    part = 0;
    parts = 1;
    tiles = p.tiles;
    if (round < 0) {
      const int cut = p.parts.divide(static_cast<int>(blockIdx.x));
      parts = static_cast<int>(p.parts.value);
      part = static_cast<int>(blockIdx.x) - cut * parts;
      index = p.first_cut + cut;
      tiles = p.part_tiles + (part < p.part_rest ? 1 : 0);
    }
    sequence = p.units.divide(index);
    head = index - sequence * static_cast<int>(p.units.value);
  }
};

// The loads of one warp, which run ahead of the arithmetic.
template <class Shape, class Copy>
struct EvenFeed {
  const EvenParams& p;
  const Copy& copy;
  uint32_t ring;
  int round;  // the next one
  int left = 0;
  int token;
  int stride;
  int sequence;
  int head;

  __device__ uint32_t keys(int stage) const { return ring + stage * (2 * Shape::kTileBytes); }
  __device__ uint32_t values(int stage) const { return keys(stage) + Shape::kTileBytes; }

  __device__ void next_unit() {
    const int warp = threadIdx.x / 32;
    while (left <= 0 && round < p.whole) {
      const EvenUnit unit(p, round++);
      left = (unit.tiles - warp + Shape::kWarps - 1) / Shape::kWarps;
      token = (unit.part + unit.parts * warp) * Shape::kTile;
      stride = unit.parts * Shape::kWarps * Shape::kTile;
      sequence = unit.sequence;
      head = unit.head;
    }
  }

  __device__ void fill(int stage) {
    if (left <= 0) next_unit();
    if (left > 0) {
      copy.issue_row(keys(stage), values(stage), stage, head, sequence, token, p.kv_len - token);
      token += stride;
      --left;
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
__device__ inline void store_even(const EvenParams& p, const Merge<E, Shape>& merge,
                                  const EvenUnit& unit, int thread, int threads) {
  const Cut cut = {static_cast<int>(blockIdx.x) - unit.part, unit.part, unit.parts};
#pragma unroll 1
  for (int quad = thread; quad < p.slot_quads; quad += threads) {
    const int head = p.row_quads.divide(quad);
    const int column = 4 * (quad - head * static_cast<int>(p.row_quads.value));
    float factors[Shape::kWarps];
    const SoftmaxState state = merge.merge(head, factors);
    const float4 o = merge.quad(head, column, factors);
    if (unit.parts > 1) {
      store_packet(p, cut, quad, o);
    } else {
      store_normalised<E>(p, unit.sequence, unit.head * p.group + head, column, o, state);
    }
  }
  if (unit.parts > 1) merge.store_states(p, cut, p.shares, thread, threads);
}

// This block's share of the columns of the unit that it has a part of.
template <class E>
__device__ inline void reduce_cut(const EvenParams& p, const Receiver& receive,
                                  SoftmaxState* states) {
  const EvenUnit unit(p, -1);
  const Cut cut = {static_cast<int>(blockIdx.x) - unit.part, unit.part, unit.parts};
  const Reader<E> reader = {p, cut, receive, p.shares, states};
  reader.reduce(unit.sequence, unit.head * p.group);
}

template <class E, class Shape, class Copy>
__device__ inline void read_units(const EvenParams& p, const Copy& copy,
                                  EvenFeed<Shape, Copy>& feed, Meeting<E, Shape>& meeting,
                                  int first_round) {
  const int warp = threadIdx.x / 32;
  int stage = 0;
  uint32_t parity = 0;
  Attention<E, Shape> attention;
  if (first_round < p.whole) ask(p, attention, EvenUnit(p, first_round));
#pragma unroll 1
  for (int round = first_round; round < p.whole; ++round) {
    const EvenUnit unit(p, round);
    attention.start();
    if (round + 1 < p.whole) ask(p, attention, EvenUnit(p, round + 1));
    int live = p.kv_len - (unit.part + unit.parts * warp) * Shape::kTile;
#pragma unroll 1
    for (int i = warp; i < unit.tiles; i += Shape::kWarps) {
      copy.wait(stage, parity);
      if (live < Shape::kTile) copy.clear_tail(feed.values(stage), live);
      attention.take(feed.keys(stage), feed.values(stage), p.score_factor, live);
      __syncwarp();  // every lane has read the tile
      feed.fill(stage);
      live -= unit.parts * Shape::kWarps * Shape::kTile;
      if (++stage == Shape::kStages) {
        stage = 0;
        parity ^= 1;
      }
    }
    meeting.enter();
    meeting.merge().template leave<false>(attention, attention.l, p.group);
    meeting.merge().leave_states(attention, attention.l);
    meeting.leave(round + 1 == p.whole, [&](const Merge<E, Shape>& merge, int thread, int threads) {
      store_even(p, merge, unit, thread, threads);
    });
  }
}

template <class E, class Shape, class Copy>
__global__ void __launch_bounds__(Shape::kThreads, 1)
    even_split(const __grid_constant__ EvenParams p,
               const __grid_constant__ typename Copy::Source source) {
  extern __shared__ char memory[];
  char* ring = memory + (1024 - shared_address(memory) % 1024) % 1024;
  char* buffers = ring + Shape::kRingBytes;
  const uint32_t barriers = shared_address(buffers) + Shape::kMergeBuffers * Shape::kMergeBytes;
  const int warp = threadIdx.x / 32;
  const bool shares = static_cast<int>(blockIdx.x) < p.cut_blocks;
  const int first_round = shares ? -1 : 0;
  const Copy copy(source, barriers + warp * Shape::kStages * 8, true);
  EvenFeed<Shape, Copy> feed = {p, copy, shared_address(ring) + warp * Shape::kWarpRingBytes,
                                first_round};
#pragma unroll 1
  for (int stage = 0; stage < Shape::kStages; ++stage)
    feed.fill(stage);
  Meeting<E, Shape> meeting(buffers, barriers + Shape::kWarps * Shape::kStages * 8);

  read_units(p, copy, feed, meeting, first_round);
  if (shares && p.one_launch)
    reduce_cut<E>(p, {true, true}, reinterpret_cast<SoftmaxState*>(buffers));
}

}  // namespace flashdec::cuda
