// Where the warps of a block meet at the end of a piece: each leaves its sums in a buffer, and one
// warp, in turn, merges them while the others read on.
#pragma once

#include "cuda/copy/barrier.cuh"
#include "cuda/tensor/feed.cuh"
#include "cuda/tensor/finish.cuh"
#include "cuda/tensor/tree.cuh"

namespace flashdec::cuda {

// The shared memory of a block: rings of tiles, merge buffers, barriers.
template <class Shape>
struct Room {
  char* ring;
  char* buffers;

  __device__ explicit Room(char* memory)
      : ring(memory + (1024 - shared_address(memory) % 1024) % 1024),
        buffers(ring + Shape::kRingBytes) {}

  __device__ static int warp() { return static_cast<int>(threadIdx.x) / 32; }
  __device__ Stages<Shape> warp_ring() const {
    return {shared_address(ring) + warp() * Shape::kWarpRingBytes};
  }
  __device__ uint32_t barriers() const {
    return shared_address(buffers) + Shape::kMergeBuffers * Shape::kMergeBytes;
  }
  // Where nodes of the tree of splits wait.
  __device__ WaitingRoom<Shape> waiting() const {
    return {buffers + Shape::kMergeBuffers * Shape::kMergeBytes + Shape::kBarrierBytes};
  }
  __device__ uint32_t copy_barriers() const { return barriers() + warp() * Shape::kStages * 8; }
  __device__ uint32_t meeting_barriers() const {
    return barriers() + Shape::kWarps * Shape::kStages * 8;
  }
};

template <class E, class Shape>
struct Meeting {
  static constexpr int kBuffers = Shape::kMergeBuffers;
  char* buffers;
  uint32_t barriers;  // of each buffer: full, then empty
  int count = 0;      // pieces that this warp has left

  __device__ Meeting(char* memory, uint32_t first_barrier)
      : buffers(memory), barriers(first_barrier) {
    if (threadIdx.x == 0)
      for (int buffer = 0; buffer < kBuffers; ++buffer) {
        init_barrier(barriers + 16 * buffer, Shape::kThreads);
        init_barrier(barriers + 16 * buffer + 8, 32);
      }
    __syncthreads();
  }

  __device__ uint32_t full() const { return barriers + 16 * (count % kBuffers); }
  __device__ uint32_t parity() const { return count / kBuffers % 2; }

  // The buffer of the piece at hand.
  __device__ Merge<E, Shape> merge() const {
    return Merge<E, Shape>(buffers + count % kBuffers * Shape::kMergeBytes);
  }

  // Before a warp writes to the buffer: whoever merged what was there is done.
  __device__ void enter() const {
    if (count >= kBuffers) wait_barrier(full() + 8, parity() ^ 1);
  }

  // Whoever merged the piece before this one is done.
  __device__ void wait_for_last() const {
    if (count == 0) return;
    const int before = count - 1;
    wait_barrier(barriers + 16 * (before % kBuffers) + 8, before / kBuffers % 2);
  }

  // After: `store(merge, thread, threads)` is called by the threads that store the result, all of
  // the block's if this is its `last` piece; `in_order` after the store of the piece before.
  template <class Store>
  __device__ void leave(bool last, bool in_order, const Store& store) {
    const int lane = threadIdx.x % 32;
    arrive(full());  // every thread for what it wrote itself
    if (last || count % Shape::kWarps == static_cast<int>(threadIdx.x) / 32) {
      wait_barrier(full(), parity());
      if (in_order) wait_for_last();
      store(merge(), last ? static_cast<int>(threadIdx.x) : lane, last ? Shape::kThreads : 32);
      if (!last) arrive(full() + 8);
    }
    ++count;
  }
};

}  // namespace flashdec::cuda
