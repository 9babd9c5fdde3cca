// Splits are the leaves of a binary tree over the sequence: node i of level n folds the
// leaves i 2^n to (i + 1) 2^n - 1, and one whose right half does not exist is its left half.  So no
// bit depends on which node a block of threads, a warp or a lane folds, as long as each is folded
// from its own two halves.
#pragma once

#include "cuda/tensor/output.cuh"

namespace flashdec::cuda {

// Four neighbouring columns of a row, of a node.
struct TreeNode {
  SoftmaxState state;
  float4 o;
};

// An empty one changes nothing but the sign of a zero, which store_normalised drops.
__device__ inline TreeNode fold(const TreeNode& left, const TreeNode& right) {
  const float m = fmaxf(left.state.m, right.state.m);
  const float a = merge_factor(left.state.m, m);
  const float b = merge_factor(right.state.m, m);
  return {{m, fmaf(left.state.l, a, right.state.l * b)},
          {fmaf(left.o.x, a, right.o.x * b), fmaf(left.o.y, a, right.o.y * b),
           fmaf(left.o.z, a, right.o.z * b), fmaf(left.o.w, a, right.o.w * b)}};
}

// Of leaves that come in order, adds number `index`: `waiting(level)` is where the left half of a
// node waits for the right one.  True if that completes the node of `levels` levels, which is then
// in `node`; the `last` leaf of a sequence does.
template <class Waiting>
__device__ inline bool carry(int index, int levels, bool last, TreeNode& node,
                             const Waiting& waiting) {
#pragma unroll 1
  for (int level = 0; level < levels; ++level) {
    if ((index >> level & 1) != 0) {
      node = fold(waiting(level).get(), node);
    } else if (!last) {
      waiting(level).set(node);
      return false;
    }
  }
  return true;
}

// What waits in shared memory while a block folds.
template <class Shape>
struct WaitingRoom {
  static constexpr int kQuads = Shape::kHeads * Shape::kHeadDim / 4;
  char* memory;

  struct Place {
    float4* values;
    SoftmaxState* state;
    __device__ TreeNode get() const { return {*state, *values}; }
    __device__ void set(const TreeNode& node) const {
      *values = node.o;
      *state = node.state;
    }
  };

  __device__ Place place(int level, int quad) const {
    char* first = memory + level * Shape::kLevelBytes;
    return {reinterpret_cast<float4*>(first) + quad,
            reinterpret_cast<SoftmaxState*>(first + kQuads * 16) + quad};
  }
};

}  // namespace flashdec::cuda
