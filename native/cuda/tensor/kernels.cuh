// The split kernels on tensor cores, over a way of copying tiles: cp.async or tensor copies.
// docs/kernels.md derives their shape.
#pragma once

#include "cuda/device/dependency.cuh"
#include "cuda/tensor/cut_reduce.cuh"
#include "cuda/tensor/read.cuh"
#include "cuda/tensor/tree_reduce.cuh"

namespace flashdec::cuda {

// All that a deal has for this block, from `first` on; `start(feed)` asks for the first tile.
template <class E, class Shape, class Places, class Deal, class Copy, class Start>
__device__ inline void read_all(const Deal& deal, const typename Deal::Cursor& first, Copy& copy,
                                const Places& places, const Room<Shape>& room,
                                Meeting<E, Shape>& meeting, const Start& start) {
  const Block<E, Shape, Deal> block = {deal, meeting, {deal, room.waiting()}};
  if (is_reader()) {
    using Loads = Feed<Shape, Copy, Places, Deal>;
    Loads feed(first, copy, places, room.warp_ring());
    const Ring<Shape> ring = start(feed);
    meeting.open();
    Reading<E, Shape, Copy, Loads, Deal>{block, copy, feed, ring, {}}.read_all(first);
  } else {
    meeting.open();
    wait_for_previous();
    block.merge_all(first);
  }
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
  const Even even(p);
  read_all<E>(even, Even::Cursor(even), copy, RowPlaces(p), room, meeting, [](auto& feed) {
    feed.next_piece();
    return feed.start();
  });
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
  Ahead<Places> ahead = {Places(p)};
  // The first tile, as if all sequences were as long as they may be: where they are of one length
  // it is the right one, however long they are, and the trip to memory for the lengths costs
  // nothing.
  if (Copy::kBoxes && p.even && p.may_be_longest && is_reader())
    ask_ahead(even, copy, room.warp_ring(), ahead);
  const Survey found = survey(lengths, Quanta(p), asked);
  if (found.common > 0) even.take_length(p, found.common);
  if (are_even(p, found, even)) {
    read_all<E>(even, Even::Cursor(even), copy, ahead.places, room, meeting,
                [&](auto& feed) { return feed.start(ahead); });
    if (p.one_launch) reduce_found_cut<E>(p, even, {true, true});
  } else {
    const Spans spans(p, found);
    const Spans::Cursor first(spans);
    read_all<E>(spans, first, copy, ahead.places, room, meeting,
                [&](auto& feed) { return feed.start(ahead); });
    if (p.one_launch) reduce_spans<E>(spans, first, {true, true});
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
  read_all<E>(splits, Splits::Cursor(splits), copy, Places(p), room, meeting, [](auto& feed) {
    feed.next_piece();
    return feed.start();
  });
  if (p.one_launch) reduce_tree<E>(splits, {true, true});
}

}  // namespace flashdec::cuda
