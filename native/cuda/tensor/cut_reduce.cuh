// The parts of units that blocks left in the workspace become the results: what a block does after
// its last tile.
#pragma once

#include "cuda/tensor/dealer.cuh"
#include "cuda/tensor/even.cuh"
#include "cuda/tensor/exchange.cuh"
#include "cuda/tensor/spans.cuh"

namespace flashdec::cuda {

// The unit that this block has a part of.
__device__ inline SharedUnit shared_unit(const Even& even, const Shares& shares) {
  const Piece piece = even.piece(-1);
  return {even.shared(), shares, piece.sequence, piece.unit * even.p.group};
}
// The same of a length that the device found out about.
__device__ inline SharedUnit shared_unit(const TensorParams& p, const Even& even) {
  return shared_unit(even, share_columns(even.divided, even.parts(), p.slot_quads, threads_log()));
}

// This block's share of its columns; then, if others have `left` any to this warp, theirs.
template <class E>
__device__ inline void reduce_cut(const EvenParams& p, const Even& even, const Shares& shares,
                                  const Receiver& receive, bool left) {
  Even of = even;
  Receiver how = receive;
  int thread = static_cast<int>(threadIdx.x);
  bool any = even.reduces();
#pragma unroll 1
  do {
    if (any) {
      const SharedUnit unit = shared_unit(of, shares);
      CutReader<E>{p, unit, true, how, thread, 0}.reduce();
    }
    if (!left) return;
    const Left next = take_left({p.attendance});
    any = left = next.what >= 0;
    how.leaves = false;
    of.take_part_of(next.block);
    thread = next.thread();
  } while (left);
}
// The same of a length that the device found out about.
template <class E>
__device__ inline void reduce_found_cut(const TensorParams& p, const Even& even,
                                        const Receiver& receive, bool left) {
  if (!even.reduces() && !left) return;
  const Shares shares = share_columns(even.divided, even.parts(), p.slot_quads, threads_log());
  reduce_cut<E>(p, even, shares, receive, left);
}

// The same, or of all units that this block has a part of: one place for both deals, because this
// is half of what takes long to compile.
template <class E>
__device__ inline void reduce_either(const Spans& spans, const Even& even, bool in_parts,
                                     const Receiver& receive) {
  const TensorParams& p = spans.p;
  Work<Spans> work(spans);
  bool any = in_parts ? even.reduces() : work.any;
#pragma unroll 1
  while (any) {
    const Cut cut = in_parts ? even.shared() : spans.cut(work.piece);
    if (cut.parts > 1) {
      const SharedUnit unit = in_parts ? shared_unit(p, even) : shared_unit(p, work.piece, cut);
      CutReader<E>{p, unit, in_parts, receive, static_cast<int>(threadIdx.x), 0}.reduce();
    }
    if (!in_parts) work.step();
    any = !in_parts && work.any;
  }
}

// Number `index` of them.
static __device__ __noinline__ SharedUnit find_shared(const TensorParams& p, Survey found,
                                                      int index) {
  const Spans deal(p, found);
#pragma unroll 1
  for (Work<Spans> work(deal);; work.step()) {
    const Cut cut = deal.cut(work.piece);
    if (cut.parts > 1 && index-- == 0) return shared_unit(p, work.piece, cut);
  }
}

// The same, if they were dealt: those for which there was no room on the shelf are looked for
// again.
template <class E>
__device__ inline void reduce_dealt(const TensorParams& p, const Survey& found, const Shelf& shelf,
                                    const Receiver& receive) {
  const int count = shelf.count();
#pragma unroll 1
  for (int i = 0; i < count; ++i) {
    const SharedUnit unit = i < Shelf::kUnits ? shelf.unit(i) : find_shared(p, found, i);
    CutReader<E>{p, unit, false, receive, static_cast<int>(threadIdx.x), 0}.reduce();
  }
}

}  // namespace flashdec::cuda
