// The split kernel on tensor cores, over a way of copying tiles: cp.async or tensor copies.
//
// Every warp owns its tokens: its own ring of tiles, its own (m, l, o); the block meets only at the
// end of a unit.  docs/kernels.md derives the shape.
#pragma once

#include "cuda/tensor/feed.cuh"
#include "cuda/tensor/meeting.cuh"
#include "cuda/tensor/shape.h"
#include "cuda/tensor/sink.cuh"

namespace flashdec::cuda {

// Tokens of a warp between two transfers of its sums to shared memory.  The tensor cores cut off
// what float32 cannot hold at each addition, so that long sums in one register would drift.
constexpr int kFlushTokens = 4096;

template <class E, class Shape, class Copy>
struct Block {
  using Warp = Attention<E, Shape>;
  using PerHead = float[Shape::kHeadTiles][2];

  const TensorParams& p;
  const Dealer<Shape>& dealer;
  const Partition& all;
  const Copy& copy;
  Feed<Shape, Copy>& feed;
  Meeting<E, Shape>& meeting;
  Warp warp;
  int stage = 0;        // of this warp's next tile
  uint32_t parity = 0;  // of its barrier

  __device__ int first_head(const Work& work) const {
    const int kv_head = p.blocks.divide(work.unit);
    const int block = work.unit - kv_head * static_cast<int>(p.blocks.value);
    return kv_head * p.group + block * Shape::kHeads;
  }
  __device__ int heads(const Work& work) const {
    const int kv_head = p.blocks.divide(work.unit);
    const int block = work.unit - kv_head * static_cast<int>(p.blocks.value);
    return min(p.group - block * Shape::kHeads, Shape::kHeads);
  }

  // The tiles of one piece of work, and its sums into the buffer of the meeting.
  __device__ void attend(const Work& work) {
    PerHead flushed_m;
    PerHead l = {};
    bool bad = false;
    bool flushed = false;
    int until_flush = kFlushTokens / Shape::kTile;
    const int stride = work.tiles.step * Shape::kWarps * Shape::kTile;
    int live = work.len - (work.tiles.first + work.tiles.step * (threadIdx.x / 32)) * Shape::kTile;
#pragma unroll 1
    for (int i = threadIdx.x / 32; i < work.tiles.count; i += Shape::kWarps, live -= stride) {
      copy.wait(stage, parity);
      if (live < Shape::kTile) copy.clear_tail(feed.values(stage), live);
      warp.take(feed.keys(stage), feed.values(stage), p.score_factor, live);
      bad |= (feed.bad_tiles >> stage & 1) != 0;
      __syncwarp();  // every lane has read the tile
      feed.fill(stage);
      step();
      if (--until_flush > 0) continue;
      if (!flushed) meeting.enter();
      flush(flushed_m, l, flushed, heads(work));
      warp.clear_values();
      until_flush = kFlushTokens / Shape::kTile;
      flushed = true;
    }
    if (!flushed) meeting.enter();
    flush(flushed_m, l, flushed, heads(work));
    if (bad) poison(l);
    meeting.merge().leave_states(warp, l);
  }

  __device__ void step() {
    if (++stage < Shape::kStages) return;
    stage = 0;
    parity ^= 1;
  }

  // A page id was unusable: NaN goes through every merge.
  __device__ void poison(PerHead& l) const {
    if (threadIdx.x % 32 == 0 && p.status != nullptr) atomicOr(p.status, FLASHDEC_FAULT_PAGE);
#pragma unroll
    for (int t = 0; t < Shape::kHeadTiles; ++t)
      l[t][0] = l[t][1] = NAN;
  }

  __device__ void flush(PerHead& flushed_m, PerHead& l, bool again, int heads) {
    PerHead keep;
#pragma unroll
    for (int t = 0; t < Shape::kHeadTiles; ++t)
#pragma unroll
      for (int h = 0; h < 2; ++h) {
        keep[t][h] = again ? merge_factor(flushed_m[t][h], warp.m[t][h]) : 0.0f;
        l[t][h] = l[t][h] * keep[t][h] + warp.l[t][h];
        flushed_m[t][h] = warp.m[t][h];
        warp.l[t][h] = 0.0f;
      }
    if (again) {
      meeting.merge().template leave<true>(warp, keep, heads);
    } else {
      meeting.merge().template leave<false>(warp, keep, heads);
    }
  }

  __device__ Sink<E, Shape> sink_of(const Work& work) const {
    Sink<E, Shape> sink = {
        p, Target::kOutput, work.sequence, first_head(work), heads(work), work.part, {}, {}};
    if (dealer.fixed()) {
      if (work.parts > 1) sink.target = Target::kSplit;
      return sink;
    }
    sink.cut = cut_of(dealer, all, work);
    if (sink.cut.parts == 1) return sink;
    sink.target = Target::kPart;
    sink.shares = share_columns(sink.cut.parts, sink.heads * static_cast<int>(p.row_quads.value));
    return sink;
  }

  __device__ void ask(const Work& work) {
    if (work.len > 0) warp.ask(p, work.sequence, first_head(work), heads(work));
  }

  // Everything this block has; what it shares with others is noted in `records`.
  __device__ void run(CutRecord* records) {
    Walk<Shape> walk(dealer, all);
    Work next;
    bool more = walk.next(dealer, all, next);
    if (more) ask(next);
    while (more) {
      const Work work = next;
      warp.start();
      more = walk.next(dealer, all, next);
      if (more) ask(next);
      const Sink<E, Shape> sink = sink_of(work);
      if (work.len <= 0) {
        sink.store_without_attention(work.len < 0);
        continue;
      }
      attend(work);
      meeting.leave(!more, [&](const Merge<E, Shape>& merge, int thread, int threads) {
        sink.store(merge, thread, threads);
      });
      if (sink.target == Target::kPart && threadIdx.x == 0)
        records[sink.cut.part == 0 ? 1 : 0] = {sink.cut.parts, sink.cut.part, work.sequence,
                                               sink.first_head, sink.heads};
    }
  }
};

// What a block noted of a unit that it shares; `states` is shared memory.
template <class E>
__device__ inline void reduce_record(const TensorParams& p, const CutRecord& record, int block,
                                     const Receiver& receive, SoftmaxState* states) {
  if (record.parts == 0) return;
  const Cut cut = {block - record.part, record.part, record.parts};
  const Shares shares =
      share_columns(record.parts, record.heads * static_cast<int>(p.row_quads.value));
  const Reader<E> reader = {p, cut, receive, shares, states};
  reader.reduce(record.sequence, record.first_head);
}

template <class E, class Shape, class Copy>
__global__ void __launch_bounds__(Shape::kThreads, 1)
    tensor_split(const __grid_constant__ TensorParams p,
                 const __grid_constant__ typename Copy::Source source) {
  extern __shared__ char memory[];
  __shared__ int64_t scratch[Dealer<Shape>::kScratch];
  __shared__ CutRecord records[2];
  char* ring = memory + (1024 - shared_address(memory) % 1024) % 1024;
  char* merge = ring + Shape::kRingBytes;
  const int warp = threadIdx.x / 32;
  if (threadIdx.x < 2) records[threadIdx.x].parts = 0;

  const uint32_t barriers = shared_address(merge) + Shape::kMergeBuffers * Shape::kMergeBytes;
  const Copy copy(source, barriers + warp * Shape::kStages * 8, p.blocks.value == 1);
  const Dealer<Shape> dealer = {p};
  const Partition all = dealer.partition(scratch);
  Feed<Shape, Copy> feed(p, dealer, all, copy, shared_address(ring) + warp * Shape::kWarpRingBytes);
  feed.next_work();
  if (feed.left > 0) feed.look_up();
#pragma unroll 1
  for (int stage = 0; stage < Shape::kStages; ++stage)
    feed.fill(stage);
  Meeting<E, Shape> meeting(merge, barriers + Shape::kWarps * Shape::kStages * 8);
  Block<E, Shape, Copy> block = {p, dealer, all, copy, feed, meeting, {}};
  block.run(records);

  if (!p.may_cut) return;
  __syncthreads();
  if (p.one_launch) {
    for (int i = 0; i < 2; ++i)
      reduce_record<E>(p, records[i], blockIdx.x, {true, true},
                       reinterpret_cast<SoftmaxState*>(ring));
  } else if (threadIdx.x < 2) {
    p.records[2 * blockIdx.x + threadIdx.x] = records[threadIdx.x];
  }
}

}  // namespace flashdec::cuda
