// The parts of units that blocks left in the workspace become the results: what a block does after
// its last tile.
#pragma once

#include "cuda/tensor/dealer.cuh"
#include "cuda/tensor/even.cuh"
#include "cuda/tensor/exchange.cuh"
#include "cuda/tensor/spans.cuh"

namespace flashdec::cuda {

// This block's share of the columns of the unit that it has a part of.
template <class E>
__device__ inline void reduce_cut(const Even& even, const Shares& shares, const Receiver& receive) {
  const Piece piece = even.piece(-1);
  const SharedUnit unit = {even.shared(), shares, piece.sequence, piece.unit * even.p.group};
  CutReader<E>{even.p, unit, receive}.reduce();
}

// The same of a length that the device found out about.
template <class E>
__device__ inline void reduce_found_cut(const TensorParams& p, const Even& even,
                                        const Receiver& receive) {
  if (!even.reduces()) return;
  reduce_cut<E>(even, share_columns(even.divided, even.parts(), p.slot_quads, threads_log()),
                receive);
}

// The same of the units that this block has a part of.
template <class E>
__device__ inline void reduce_spans(const Spans& deal, const Receiver& receive) {
#pragma unroll 1
  for (Work<Spans> work(deal); work.any; work.step()) {
    const Cut cut = deal.cut(work.piece);
    if (cut.parts == 1) continue;
    const SharedUnit unit = shared_unit(deal.p, work.piece, cut);
    CutReader<E>{deal.p, unit, receive}.reduce();
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
    CutReader<E>{p, unit, receive}.reduce();
  }
}

}  // namespace flashdec::cuda
