// Where the merged result of a block goes: to the outputs, or, of a unit that is shared, to where
// the combine finds it.
#pragma once

#include "core/status.h"
#include "cuda/tensor/finish.cuh"
#include "cuda/tensor/output.cuh"
#include "cuda/tensor/packet.cuh"
#include "cuda/tensor/tree.cuh"
#include "cuda/tensor/work.cuh"

namespace flashdec::cuda {

// What is merged: a piece, or one split of it.
struct Leaf {
  Piece piece;
  int slot;  // of the piece in the workspace; kNoSlot: it is the whole unit
  int index;
  bool last;  // of the piece
};

// Nothing to attend to: zeros, or NaN for a length outside its range.
template <class E>
__device__ inline void store_without_attention(const TensorParams& p, const Piece& piece,
                                               const Worker& worker) {
  const bool bad = piece.len < 0;
  if (bad && worker.number == 0 && p.status != nullptr) atomicOr(p.status, FLASHDEC_FAULT_KV_LEN);
  const float value = bad ? NAN : 0.0f;
  const int quads = heads_of(p, piece.unit) * static_cast<int>(p.row_quads.value);
  for (int quad = worker.number; quad < quads; quad += worker.of) {
    const int of_unit = p.row_quads.divide(quad);
    const int head = first_head_of(p, piece.unit) + of_unit;
    const int column = 4 * (quad - of_unit * static_cast<int>(p.row_quads.value));
    store_quad(output_row<E>(p, piece.sequence, head) + column, {value, value, value, value});
    if (column == 0) store_lse(p, piece.sequence, head, bad ? poisoned_state() : empty_state());
  }
}

template <class E, class Shape, class Deal>
struct Sink {
  const Deal& deal;
  WaitingRoom<Shape> waiting;

  // Four columns of a row.
  __device__ void put(const Leaf& leaf, int head, int column, TreeNode node) const {
    const auto& p = deal.p;
    const Piece& piece = leaf.piece;
    const int quad = head * static_cast<int>(p.row_quads.value) + column / 4;
    if constexpr (Deal::kFolds) {
      if (!carry(leaf.index, deal.level, leaf.last, node,
                 [&](int level) { return waiting.place(level, quad); }))
        return;
    }
    if (leaf.slot == kNoSlot) {
      store_normalised<E>(p, piece.sequence, first_head_of(p, piece.unit) + head, column, node.o,
                          node.state);
    } else {
      store_packet(p, deal.packet(leaf.slot, quad), node.o, node.state);
    }
  }

  __device__ void store(const Merge<E, Shape>& merge, const Leaf& leaf,
                        const Worker& worker) const {
    merge.for_each_quad(deal.p, heads_of(deal.p, leaf.piece.unit), worker,
                        [&](int head, int column, float4 o, SoftmaxState state) {
                          put(leaf, head, column, {state, o});
                        });
  }
};

}  // namespace flashdec::cuda
