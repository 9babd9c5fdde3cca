// The split kernels on tensor cores, over a way of copying tiles: cp.async or tensor copies.
// docs/kernels.md derives their shape.
#pragma once

#include <type_traits>

#include "cuda/device/dependency.cuh"
#include "cuda/tensor/cut_reduce.cuh"
#include "cuda/tensor/read.cuh"
#include "cuda/tensor/tree_reduce.cuh"

namespace flashdec::cuda {

// The half of a block that merges.  Unless all blocks are resident together, its last warp says
// that this one has come; true there if others have left it something to do (attendance.cuh).
template <bool kTogether, class E, class Shape, class Deal>
__device__ inline bool merge(Block<E, Shape, Deal>& block, const Work<Deal>& work) {
  wait_for_previous();
  const Attendance all = {block.deal.p.attendance};
  const bool says = !kTogether && block.deal.p.one_launch && this_warp() == kBlockWarps - 1;
  const uint32_t before = says ? all.come() : 0;
  block.meeting.open();
  block.merge_all(work, NoDealer());
  return says && all.is_left_something(before);
}

// The half of a block that reads; open() after it has asked for its first tile.
template <class Pacing, class E, class Shape, class Places, class Deal, class Copy, class Open>
__device__ inline void read(Block<E, Shape, Deal>& block, const Work<Deal>& work, Copy& copy,
                            const Ahead<Places>& ahead, Attention<E, Shape>& warp,
                            const Room<Shape>& room, const Open& open) {
  using Loads = Feed<Shape, Copy, Places, Deal>;
  Loads feed(work.cursor, copy, ahead.places, room.warp_ring());
  Ring<Shape> ring;
  if (work.any) {
    ring = feed.start(work.piece, ahead, [&] {
      if (!ahead.has_queries(work.piece)) ask_queries(warp, block.deal.p, work.piece);
    });
  } else {
    if (ahead.asked) copy.wait(0, 0);  // nothing may arrive when the block is gone
    wait_for_previous();               // which may still use the workspace
  }
  open();
  Reading<E, Shape, Copy, Loads, Deal, Pacing>{block, copy, feed, ring, warp}.read_all(work);
}

// All that a deal has for this block.  True in a warp to which others have left something to do.
template <class Pacing, bool kTogether, class E, class Shape, class Places, class Deal, class Copy>
__device__ inline bool read_all(const Deal& deal, const Work<Deal>& work, Copy& copy,
                                const Ahead<Places>& ahead, Attention<E, Shape>& warp,
                                const Room<Shape>& room, Meeting<E, Shape>& meeting) {
  bool left = false;
  Block<E, Shape, Deal> block = {deal, meeting, {deal, room.waiting()}};
  if (is_reader()) {
    read<Pacing>(block, work, copy, ahead, warp, room, [&] { meeting.open(); });
  } else {
    left = merge<kTogether>(block, work);
  }
  block.finish();
  let_next_start();
  return left;
}

// The same of spans, if one warp finds out where they are.
template <class E, class Shape, class Places, class Copy>
__device__ inline void read_spans(const TensorParams& p, const Survey& found, Copy& copy,
                                  const Ahead<Places>& ahead, Attention<E, Shape>& warp,
                                  const Room<Shape>& room, Meeting<E, Shape>& meeting) {
  using Deal = Dealt<Spans>;
  const Deal deal = {p, room.shelf()};
  Block<E, Shape, Deal> block = {deal, meeting, {deal, room.waiting()}};
  meeting.open([&] { deal.shelf.open(); });
  if (is_reader()) {
    const Lead lead(p);  // which every warp finds by itself
    Work<Deal> work(deal, lead.any, lead.piece(found));
    if (!lead.any) work.step();
    read<NoPace>(block, work, copy, ahead, warp, room, [] {});
  } else {
    const Spans spans(p, found);
    Dealer<Spans> dealer(spans, deal.shelf);
    block.merge_all(Work<Deal>(deal, false, {}), dealer);
  }
  block.finish();
  let_next_start();
}

// Every sequence of one length that the host knows, in rows of the cache.  A short run is bound by
// how fast its instructions come, so it has a kernel of its own.
template <class E, class Shape, class Copy, class Pacing>
__global__ void __launch_bounds__(kThreads, 1)
    even_split(const __grid_constant__ EvenParams p,
               const __grid_constant__ typename Copy::Source source) {
  const Room<Shape> room(shared_memory());
  Copy copy(source, room.copy_barriers(), p.keeps);
  Meeting<E, Shape> meeting(room.buffers, room.meeting_barriers());
  Attention<E, Shape> warp;
  const Even even(p);
  const bool left = read_all<Pacing, false, E>(even, Work<Even>(even), copy,
                                               Ahead<RowPlaces>(RowPlaces(p)), warp, room, meeting);
  if (p.one_launch) reduce_cut<E>(p, even, p.shares, receive_as_they_come(), left);
}

// The outputs of one sequence that has nothing to attend to, or no usable length.
template <class E>
__device__ inline void store_empty(const TensorParams& p, int len) {
  Piece piece = {};
  piece.len = len;
  for (piece.unit = static_cast<int>(blockIdx.x); piece.unit < static_cast<int>(p.units.value);
       piece.unit += static_cast<int>(gridDim.x))
    store_without_attention<E>(p, piece, {static_cast<int>(threadIdx.x), kThreads});
}

// One sequence, whose length is on the device, or in pages: the same deal.
template <class E, class Shape, class Copy, class Places, class Pacing>
__global__ void __launch_bounds__(kThreads, 1)
    one_split(const __grid_constant__ TensorParams p,
              const __grid_constant__ typename Copy::Source source) {
  const Room<Shape> room(shared_memory());
  Copy copy(source, room.copy_barriers(), p.keeps);
  Meeting<E, Shape> meeting(room.buffers, room.meeting_barriers());
  Even even(p);
  even.one_sequence = true;
  Attention<E, Shape> warp;
  Ahead<Places> ahead{Places(p)};
  // The first tile, before the length: the right one, however long the sequence is, unless it is
  // too short for as many parts.
  Piece first;
  if (p.may_be_longest && is_reader() && Even::Cursor(even).next(first))
    ahead.template aim<Shape>(first, copy);
  wait_for_previous();
  const Lengths lengths(p);
  const int asked = lengths.ask_first();
  ahead.ask(even.p, copy, room.warp_ring(), warp);  // one block for the heads of a group
  const int len = lengths.checked(asked);
  if (len > 0) {
    even.take_length(p, len);
    const bool left =
        read_all<Pacing, false, E>(even, Work<Even>(even), copy, ahead, warp, room, meeting);
    if (p.one_launch) reduce_found_cut<E>(p, even, receive_as_they_come(), left);
  } else {
    if (ahead.asked) copy.wait(0, 0);  // nothing may arrive when the block is gone
    store_empty<E>(p, len);
    let_next_start();
  }
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
  Attention<E, Shape> warp;
  Ahead<Places> ahead{Places(p)};
  // The first tile, before the lengths: the right one if they are equal, and where the block begins
  // alike if they differ.  Where they have to differ it is the one for that.
  const bool alike = even.begins_alike();
  if constexpr (Copy::kBoxes) {
    if (is_reader()) {
      Piece first;
      bool any;
      if (p.even && (alike || p.may_be_longest)) {
        any = Even::Cursor(even).next(first);
      } else {
        const Lead lead(p);
        any = lead.any;
        first = lead.longest();
      }
      if (any) ahead.template aim<Shape>(first, copy);
    }
  }
  const Lengths lengths(p);
  lengths.prefetch_all(kThreads / 2);
  wait_for_previous();
  const Lengths::Asked asked = lengths.ask();
  if constexpr (Copy::kBoxes) ahead.ask(p, copy, room.warp_ring(), warp, alike);
  const Survey found = survey(lengths, Quanta(p), asked);
  if (Copy::kBoxes && p.even && alike && is_reader()) {
    const Lead lead(p);
    if (lead.any) ahead.ask_second(p, lead.piece(found), copy, room.warp_ring());
  }
  if (found.common > 0) even.take_length(p, found.common);
  const bool in_parts = are_even(p, found, even);
  if constexpr (Copy::kBoxes) {
    if (in_parts) {
      read_all<Pace<Shape, Places::kPaged>, true, E>(even, Work<Even>(even), copy, ahead, warp,
                                                     room, meeting);
      if (p.one_launch) reduce_found_cut<E>(p, even, receive_together(), false);
    } else {
      copy.keep(p.keeps_spans);
      read_spans<E>(p, found, copy, ahead, warp, room, meeting);
      if (p.one_launch) reduce_dealt<E>(p, found, room.shelf(), receive_together());
    }
  } else {
    const Spans spans(p, found);
    if (in_parts) {
      read_all<NoPace, true, E>(even, Work<Even>(even), copy, ahead, warp, room, meeting);
    } else {
      read_all<NoPace, true, E>(spans, Work<Spans>(spans), copy, ahead, warp, room, meeting);
    }
    if (p.one_launch) reduce_either<E>(spans, even, in_parts, receive_together());
  }
}

// Whether blocks begin with a first node: in pages, where the way to the first tile is long. Groups
// of 16 gain nothing by it.
template <class Shape, class Copy, class Places>
constexpr bool kLeadsSplits = Copy::kBoxes && Places::kPaged && Shape::kHeads == 8;

// Whether warps keep in step: groups of 16 gain nothing by that, and long rows have no registers
// left for it.
template <class Shape, class Copy, class Places>
using PaceOfSplits = std::conditional_t<Copy::kBoxes && Shape::kHeads == 8 && Shape::kPanels <= 2,
                                        Pace<Shape, Places::kPaged>, NoPace>;

// Splits that the plan fixes.
template <class E, class Shape, class Copy, class Places>
__global__ void __launch_bounds__(kThreads, 1)
    fixed_split(const __grid_constant__ TensorParams p,
                const __grid_constant__ typename Copy::Source source) {
  const Room<Shape> room(shared_memory());
  Copy copy(source, room.copy_barriers(), p.keeps);
  Meeting<E, Shape> meeting(room.buffers, room.meeting_barriers());
  Attention<E, Shape> warp;
  Ahead<Places> ahead{Places(p)};
  constexpr bool kLeads = kLeadsSplits<Shape, Copy, Places>;
  if constexpr (kLeads) {
    const FirstNode first(p);
    if (is_reader() && first.any) ahead.template aim<Shape>(first.longest(p), copy);
  }
  const Lengths lengths(p);
  lengths.prefetch_all(kThreads / 2);
  if (p.kv_lens != nullptr || Places::kPaged) wait_for_previous();  // else before the first tile
  const Lengths::Asked asked = lengths.ask();
  if constexpr (kLeads) ahead.ask(p, copy, room.warp_ring(), warp);
  using Deal = SplitsDeal<kLeads>;
  const Deal splits(p, survey(lengths, Quanta(p), asked));
  const bool left = read_all<PaceOfSplits<Shape, Copy, Places>, false, E>(
      splits, Work<Deal>(splits), copy, ahead, warp, room, meeting);
  if (p.one_launch) reduce_tree<E>(splits, receive_as_they_come(), left);
}

}  // namespace flashdec::cuda
