// The split kernels on tensor cores, over a way of copying tiles: cp.async or tensor copies.
// docs/kernels.md derives their shape.
#pragma once

#include "cuda/device/dependency.cuh"
#include "cuda/tensor/cut_reduce.cuh"
#include "cuda/tensor/read.cuh"
#include "cuda/tensor/tree_reduce.cuh"

namespace flashdec::cuda {

// All that a deal has for this block.
template <class E, class Shape, class Places, class Deal, class Copy>
__device__ inline void read_all(const Deal& deal, const Work<Deal>& work, Copy& copy,
                                const Ahead<Places>& ahead, Attention<E, Shape>& warp,
                                const Room<Shape>& room, Meeting<E, Shape>& meeting) {
  Block<E, Shape, Deal> block = {deal, meeting, {deal, room.waiting()}};
  if (is_reader()) {
    using Loads = Feed<Shape, Copy, Places, Deal>;
    Loads feed(work.cursor, copy, ahead.places, room.warp_ring());
    Ring<Shape> ring;
    if (work.any) {
      ring = feed.start(work.piece, ahead, [&] {
        if (!ahead.has_queries(work.piece)) ask_queries(warp, deal.p, work.piece);
      });
    } else if (ahead.asked) {
      copy.wait(0, 0);  // nothing may arrive when the block is gone
    }
    meeting.open();
    Reading<E, Shape, Copy, Loads, Deal>{block, copy, feed, ring, warp}.read_all(work);
  } else {
    meeting.open();
    wait_for_previous();
    block.merge_all(work);
  }
  block.finish();
  let_next_start();
}

// Every sequence of one length that the host knows, in rows of the cache.  A short run is bound by
// how fast its instructions come, so it has a kernel of its own.
template <class E, class Shape, class Copy>
__global__ void __launch_bounds__(kThreads, 1)
    even_split(const __grid_constant__ EvenParams p,
               const __grid_constant__ typename Copy::Source source) {
  const Room<Shape> room(shared_memory());
  Copy copy(source, room.copy_barriers(), p.keeps);
  Meeting<E, Shape> meeting(room.buffers, room.meeting_barriers());
  Attention<E, Shape> warp;
  const Even even(p);
  read_all(even, Work<Even>(even), copy, Ahead<RowPlaces>(RowPlaces(p)), warp, room, meeting);
  if (p.one_launch && even.reduces()) reduce_cut<E>(even, p.shares, {true, true});
}

// Lengths on the device, pages, groups that several blocks share.
template <class E, class Shape, class Copy, class Places>
__global__ void __launch_bounds__(kThreads, 1)
    lengths_split(const __grid_constant__ TensorParams p,
                  const __grid_constant__ typename Copy::Source source) {
  const Room<Shape> room(shared_memory());
  Copy copy(source, room.copy_barriers(), p.keeps);
  Meeting<E, Shape> meeting(room.buffers, room.meeting_barriers());
  Even even(p);
  wait_for_previous();
  const Lengths lengths(p);
  const int asked = lengths.ask();
  Attention<E, Shape> warp;
  Ahead<Places> ahead{Places(p)};
  // The first tile, as if all sequences were as long as they may be: where they are of one length
  // it is the right one, however long they are, and the trip to memory for the lengths costs
  // nothing.
  if (Copy::kBoxes && p.even && p.may_be_longest && is_reader())
    ahead.ask(even, copy, room.warp_ring(), warp);
  const Survey found = survey(lengths, Quanta(p), asked);
  if (found.common > 0) even.take_length(p, found.common);
  if (are_even(p, found, even)) {
    read_all(even, Work<Even>(even), copy, ahead, warp, room, meeting);
    if (p.one_launch) reduce_found_cut<E>(p, even, {true, true});
  } else {
    const Spans spans(p, found);
    const Work<Spans> work(spans);
    read_all(spans, work, copy, ahead, warp, room, meeting);
    if (p.one_launch) reduce_spans<E>(spans, work, {true, true});
  }
}

// Splits that the plan fixes.
template <class E, class Shape, class Copy, class Places>
__global__ void __launch_bounds__(kThreads, 1)
    fixed_split(const __grid_constant__ TensorParams p,
                const __grid_constant__ typename Copy::Source source) {
  const Room<Shape> room(shared_memory());
  Copy copy(source, room.copy_barriers(), p.keeps);
  Meeting<E, Shape> meeting(room.buffers, room.meeting_barriers());
  if (p.kv_lens != nullptr || Places::kPaged) wait_for_previous();  // else before the first tile
  const Lengths lengths(p);
  const Splits splits(p, survey(lengths, Quanta(p), lengths.ask()));
  Attention<E, Shape> warp;
  read_all(splits, Work<Splits>(splits), copy, Ahead<Places>(Places(p)), warp, room, meeting);
  if (p.one_launch) reduce_tree<E>(splits, {true, true});
}

}  // namespace flashdec::cuda
