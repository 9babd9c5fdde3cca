// The parts of units that blocks left in the workspace become the results: what a block does after
// its last tile.
#pragma once

#include "cuda/tensor/even.cuh"
#include "cuda/tensor/exchange.cuh"
#include "cuda/tensor/spans.cuh"

namespace flashdec::cuda {

// This block's share of the columns of the unit that it has a part of.
template <class E>
__device__ inline void reduce_cut(const Even& even, const Shares& shares, const Receiver& receive) {
  const Piece piece = even.piece(-1);
  const Cut cut = even.shared();
  CutReader<E>{even.p, cut, receive, shares, piece.sequence, piece.unit * even.p.group}.reduce();
}

// The parts of a unit that the device found out about.
template <class E>
__device__ inline void reduce_found_cut(const TensorParams& p, const Even& even,
                                        const Receiver& receive) {
  if (!even.reduces()) return;
  reduce_cut<E>(even, share_columns(even.divided, even.parts(), p.slot_quads, threads_log()),
                receive);
}

// This block's share of the columns of the units that it has a part of.
template <class E>
__device__ inline void reduce_spans(const Spans& deal, Work<Spans> work, const Receiver& receive) {
#pragma unroll 1
  for (; work.any; work.step()) {
    const Piece& piece = work.piece;
    const Cut cut = deal.cut(piece);
    if (cut.parts == 1) continue;
    const int quads = heads_of(deal.p, piece.unit) * static_cast<int>(deal.p.row_quads.value);
    const Shares shares = share_columns(cut.parts, cut.parts, quads, threads_log());
    CutReader<E>{deal.p, cut, receive, shares, piece.sequence, first_head_of(deal.p, piece.unit)}
        .reduce();
  }
}

}  // namespace flashdec::cuda
