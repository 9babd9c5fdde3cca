// What there is to do: lengths, and the pieces of it that a block takes in turn.
//
// A unit is one key/value head (and one block of query heads) of one sequence.  Units are dealt to
// the blocks of a persistent grid in one of two ways:
//   parts    (even.cuh) every length the same: whole units in equal rounds; each one left over is
//            cut into parts whose tiles interleave, so that neighbours read neighbouring memory;
//   splits   (splits.cuh) any lengths: every unit is cut at the same tokens, and its splits, in
//            the order of memory, go round the blocks.
#pragma once

#include <climits>

#include "cuda/device/tensor_core.cuh"
#include "cuda/tensor/params.h"

namespace flashdec::cuda {

constexpr int kBadLen = -1;
constexpr int kNoSlot = -1;

// Tiles first, first + step, ... of one unit.
struct Piece {
  int sequence;
  int unit;  // of the sequence
  int len;   // tokens of the sequence; 0: nothing to attend to, kBadLen: unusable
  int first;
  int step;
  int tiles;
  int slot;  // where its result goes in the workspace; kNoSlot: it is the whole unit

  // The first token of a warp.
  template <class Shape>
  __device__ int token(int warp) const {
    return (first + step * warp) * Shape::kTile;
  }
  template <class Shape>
  __device__ int tiles_of(int warp) const {
    return (tiles - warp + Shape::kWarps - 1) / Shape::kWarps;
  }
};

__device__ inline int kv_head_of(const EvenParams&, int unit) {
  return unit;
}
__device__ inline int first_head_of(const EvenParams& p, int unit) {
  return unit * p.group;
}
__device__ inline int heads_of(const EvenParams& p, int) {
  return p.group;
}

__device__ inline int kv_head_of(const TensorParams& p, int unit) {
  return p.blocks.divide(unit);
}
__device__ inline int block_of(const TensorParams& p, int unit) {
  return unit - kv_head_of(p, unit) * static_cast<int>(p.blocks.value);
}
__device__ inline int first_head_of(const TensorParams& p, int unit) {
  return kv_head_of(p, unit) * p.group + block_of(p, unit) * p.block_heads;
}
__device__ inline int heads_of(const TensorParams& p, int unit) {
  return min(p.group - block_of(p, unit) * p.block_heads, p.block_heads);
}

constexpr int kLengthsDiffer = -2;

// What the lengths say.
struct Survey {
  int common;  // length of every sequence, kBadLen too, or kLengthsDiffer
  int longest;
  int quanta;  // of all sequences
  int first;   // length of the sequence of this lane's number
};

struct Lengths {
  const TensorParams& p;

  __device__ int checked(int len) const { return len >= 0 && len <= p.max_kv_len ? len : kBadLen; }
  __device__ int of(int sequence) const {
    return p.kv_lens == nullptr ? p.kv_len : checked(p.kv_lens[sequence]);
  }
  // A sequence without tokens still takes a quantum: someone must write its outputs.
  __device__ int quanta(int len) const { return len <= 0 ? 1 : p.quantum.divide(len - 1) + 1; }

  // As it is in memory, of the sequence of this lane's number: asked for early.
  __device__ int ask() const {
    const int lane = static_cast<int>(threadIdx.x) % 32;
    return p.kv_lens == nullptr ? p.kv_len : lane < p.batch ? p.kv_lens[lane] : 0;
  }

  // By whole warps, each for itself.
  __device__ Survey survey(int asked) const {
    if (p.kv_lens == nullptr) return {p.kv_len, p.kv_len, p.batch * quanta(p.kv_len), p.kv_len};
    const int lane = static_cast<int>(threadIdx.x) % 32;
    const int first = checked(asked);
    const bool there = lane < p.batch;
    int low = there ? first : INT_MAX;
    int high = there ? first : INT_MIN;
    int sum = there ? quanta(first) : 0;
#pragma unroll 4
    for (int b = lane + 32; b < p.batch; b += 32) {
      const int len = of(b);
      low = min(low, len);
      high = max(high, len);
      sum += quanta(len);
    }
    low = __reduce_min_sync(kAllLanes, low);
    high = __reduce_max_sync(kAllLanes, high);
    sum = __reduce_add_sync(kAllLanes, sum);
    return {low == high ? low : kLengthsDiffer, high, sum, first};
  }
};

}  // namespace flashdec::cuda
