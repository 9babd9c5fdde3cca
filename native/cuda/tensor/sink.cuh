// Where the merged result of a block goes: to the outputs, or, of a unit that is shared, to where
// the combine finds it.
#pragma once

#include "core/status.h"
#include "cuda/tensor/finish.cuh"
#include "cuda/tensor/output.cuh"
#include "cuda/tensor/packet.cuh"
#include "cuda/tensor/tree.cuh"

namespace flashdec::cuda {

constexpr int kNoSlot = -1;

template <class E, class Shape>
struct Sink {
  const TensorParams& p;
  int sequence;
  int first_head;
  int heads;
  int slot;   // of a unit that is shared, or kNoSlot
  Leaf leaf;  // what the block folds first
  WaitingRoom<Shape> waiting;

  __device__ void put(int head, int column, float4 o, SoftmaxState state) const {
    TreeNode node = {state, o};
    const int quad = head * static_cast<int>(p.row_quads.value) + column / 4;
    if (!carry(leaf.index, leaf.levels, leaf.last, node,
               [&](int level) { return waiting.place(level, quad); }))
      return;
    if (slot == kNoSlot) {
      store_normalised<E>(p, sequence, first_head + head, column, node.o, node.state);
    } else {
      store_packet(p, slot, quad, node.o, node.state);
    }
  }

  __device__ void store(const Merge<E, Shape>& merge, int thread, int threads) const {
    merge.for_each_quad(
        p, heads, thread, threads,
        [&](int head, int column, float4 o, SoftmaxState state) { put(head, column, o, state); });
  }

  // Nothing to attend to: zeros, or NaN for a length outside its range.
  __device__ void store_without_attention(bool bad) const {
    if (bad && threadIdx.x == 0 && p.status != nullptr) atomicOr(p.status, FLASHDEC_FAULT_KV_LEN);
    const float value = bad ? NAN : 0.0f;
    for (int quad = threadIdx.x; quad < heads * static_cast<int>(p.row_quads.value);
         quad += Shape::kThreads) {
      const int head = p.row_quads.divide(quad);
      const int column = 4 * (quad - head * static_cast<int>(p.row_quads.value));
      store_quad(output_row<E>(p, sequence, first_head + head) + column,
                 {value, value, value, value});
      if (column == 0)
        store_lse(p, sequence, first_head + head, bad ? poisoned_state() : empty_state());
    }
  }
};

}  // namespace flashdec::cuda
