// The split kernel on tensor cores, over a way of copying tiles: cp.async or tensor copies.
//
// Every warp owns its tokens: its own ring of tiles, its own (m, l, o); the block meets only at the
// end of a unit.  docs/kernels.md derives the shape.
#pragma once

#include "cuda/tensor/even_splits.cuh"
#include "cuda/tensor/feed.cuh"

namespace flashdec::cuda {

// Tokens of a warp between two transfers of its sums to shared memory.  The tensor cores cut off
// what float32 cannot hold at each addition, so that long sums in one register would drift.
constexpr int kFlushTokens = 4096;

template <class E, class Shape, class Copy>
struct Block {
  using Warp = Attention<E, Shape>;
  using PerHead = float[Shape::kHeadTiles][2];

  const TensorParams& p;
  const Dealer& dealer;
  const Partition& all;
  const Copy& copy;
  Feed<Shape, Copy>& feed;
  Meeting<E, Shape>& meeting;
  const WaitingRoom<Shape> waiting;
  Warp warp;
  int stage = 0;        // of this warp's next tile
  uint32_t parity = 0;  // of its barrier

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
      if (Shape::kAhead < Shape::kStages) feed.fill(stage_before<Shape>(stage));
      if (live < Shape::kTile) copy.clear_tail(feed.values(stage), live);
      warp.take(feed.keys(stage), feed.values(stage), p.score_factor, live);
      bad |= feed.places.bad(stage);
      __syncwarp();  // every lane has read the tile
      if (Shape::kAhead == Shape::kStages) feed.fill(stage);
      step();
      if (--until_flush > 0) continue;
      if (!flushed) meeting.enter();
      flush(flushed_m, l, flushed, heads_of(p, work.unit));
      warp.clear_values();
      until_flush = kFlushTokens / Shape::kTile;
      flushed = true;
    }
    if (!flushed) meeting.enter();
    flush(flushed_m, l, flushed, heads_of(p, work.unit));
    if (bad) feed.places.poison(l);
    meeting.merge().leave_states(warp, l);
  }

  __device__ void step() {
    if (++stage < Shape::kStages) return;
    stage = 0;
    parity ^= 1;
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

  __device__ Sink<E, Shape> sink_of(const Work& work, const Cut& cut) const {
    Sink<E, Shape> sink = {p,
                           work.sequence,
                           first_head_of(p, work.unit),
                           heads_of(p, work.unit),
                           kNoSlot,
                           {0, 0, true},
                           waiting};
    if (cut.parts > 1) sink.slot = cut.slot(cut.part);
    if (!dealer.fixed()) return sink;
    const int of_node = 1 << all.level;
    sink.leaf = {work.part & (of_node - 1), all.level, ends_node(work.part, work.parts, all.level)};
    if (work.parts > of_node)
      sink.slot = (work.start + (work.part >> all.level)) * static_cast<int>(p.team.value) +
                  dealer.member();
    return sink;
  }

  __device__ void ask(const Work& work) {
    if (work.len > 0)
      warp.ask(p, work.sequence, first_head_of(p, work.unit), heads_of(p, work.unit));
  }

  // Everything this block has; what it shares with others is noted in `records`.
  __device__ void run(CutRecord* records) {
    Walk walk(dealer, all);
    Work next;
    bool more = walk.next(dealer, all, next);
    if (more) ask(next);
    while (more) {
      const Work work = next;
      warp.start();
      more = walk.next(dealer, all, next);
      if (more) ask(next);
      const Cut cut = dealer.fixed() ? Cut{0, 1, 0, 1} : cut_of(dealer, all, work);
      const Sink<E, Shape> sink = sink_of(work, cut);
      if (work.len <= 0) {
        sink.store_without_attention(work.len < 0);
        continue;
      }
      attend(work);
      meeting.template leave<true>(!more, [&](const Merge<E, Shape>& merge, int thread,
                                              int threads) { sink.store(merge, thread, threads); });
      if (cut.parts > 1 && threadIdx.x == 0)
        records[cut.part == 0 ? 1 : 0] = {cut.parts,     cut.part,        cut.stride,
                                          work.sequence, sink.first_head, sink.heads};
    }
  }
};

// What a block noted of a unit that it shares.
template <class E>
__device__ inline void reduce_record(const TensorParams& p, const CutRecord& record, int block,
                                     const Receiver& receive) {
  if (record.parts == 0) return;
  const Cut cut = {block - record.part * record.stride, record.stride, record.part, record.parts};
  const Shares shares = share_columns(
      record.parts, record.heads * static_cast<int>(p.row_quads.value), threads_log());
  Reader<E>{p, cut, receive, shares, record.sequence, record.first_head}.reduce();
}

// Lengths that differ, fixed splits, groups that several blocks share.
template <class E, class Shape, class Copy>
__device__ inline void run_any(const TensorParams& p, const Copy& copy, const Room<Shape>& room,
                               Meeting<E, Shape>& meeting, const Survey& survey) {
  __shared__ CutRecord records[2];
  wait_for_previous();
  if (threadIdx.x == 0) records[0].parts = records[1].parts = 0;  // who writes them later
  const Dealer dealer = {p};
  const Partition all = dealer.partition(survey);
  Feed<Shape, Copy> feed(p, dealer, all, copy, room.warp_ring());
  feed.next_work();
#pragma unroll 1
  for (int stage = 0; stage < Shape::kAhead; ++stage)
    feed.fill(stage);
  Block<E, Shape, Copy> block = {p, dealer, all, copy, feed, meeting, room.waiting(), {}};
  block.run(records);
  let_next_start();

  if (!p.may_cut) return;
  if (dealer.fixed()) {
    if (p.one_launch) reduce_tree<E>(p, survey, all.level, {true, true});
    return;
  }
  __syncthreads();
  if (p.one_launch) {
    for (int i = 0; i < 2; ++i)
      reduce_record<E>(p, records[i], blockIdx.x, {true, true});
  } else if (threadIdx.x < 2) {
    p.records[2 * blockIdx.x + threadIdx.x] = records[threadIdx.x];
  }
}

template <class E, class Shape, class Copy, class Places>
__device__ inline void run_even(const TensorParams& p, const Copy& copy, const Room<Shape>& room,
                                Meeting<E, Shape>& meeting, const Even& even,
                                const Places& places) {
  EvenFeed<Shape, Copy, Places> feed(p, even, copy, places, room.warp_ring());
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
  if (!p.may_cut) return;
  if (!p.one_launch) {
    if (threadIdx.x != 0) return;
    const EvenUnit unit = even.unit(p, -1);
    p.records[2 * blockIdx.x] = {
        even.parts > 1 ? even.parts : 0, even.part, 1, unit.sequence, unit.head * p.group, p.group};
    p.records[2 * blockIdx.x + 1].parts = 0;
  } else if (even.parts > 1) {
    reduce_cut<E>(p, even, share_columns(even.parts, p.slot_quads, threads_log()), {true, true});
  }
}

// Tokens that one block takes of one unit, at most.
template <class Shape>
__device__ inline int64_t longest_part(const Even& even) {
  return even.whole > 0 ? even.len : int64_t{even.part_tiles} * Shape::kTile;
}

// Sequences of one length, the lean ways; false if that length is too long.
template <class E, class Shape, class Copy, class Places>
__device__ __forceinline__ bool run_equal(const TensorParams& p, const Copy& copy,
                                          const Room<Shape>& room, Meeting<E, Shape>& meeting,
                                          const Survey& survey, const Places& places) {
  if (p.deal == Deal::kSplits) {
    run_even_splits<E, Shape, Copy>(p, copy, room, meeting, survey, places);
    return true;
  }
  const Even even = even_of<Shape>(p, survey.common);
  if (longest_part<Shape>(even) > kEvenTokens) return false;
  run_even<E, Shape, Copy>(p, copy, room, meeting, even, places);
  return true;
}

template <class E, class Shape, class Copy>
__global__ void __launch_bounds__(Shape::kThreads, 1)
    tensor_split(const __grid_constant__ TensorParams p,
                 const __grid_constant__ typename Copy::Source source) {
  extern __shared__ char memory[];
  const Room<Shape> room(memory);
  const Copy copy(source, room.copy_barriers(), p.blocks.value == 1);
  Meeting<E, Shape> meeting(room.buffers, room.meeting_barriers());
  const bool paged = p.page.value != 0;
  if (p.kv_lens != nullptr || paged) wait_for_previous();  // else before the first tile
  const Survey survey = Dealer{p}.survey();
  if (p.even && survey.common > 0) {
    const bool done =
        paged ? run_equal<E, Shape, Copy>(p, copy, room, meeting, survey, Pages<Shape, Copy>(p))
              : run_equal<E, Shape, Copy>(p, copy, room, meeting, survey, RowPlaces{});
    if (done) return;
  }
  run_any(p, copy, room, meeting, survey);
}

}  // namespace flashdec::cuda
