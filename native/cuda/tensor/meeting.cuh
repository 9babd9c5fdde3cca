// Where the warps of a block meet at the end of a piece: the readers leave their sums in a buffer
// and read on; the other half of the block merges them.
#pragma once

#include "cuda/device/barrier.cuh"
#include "cuda/device/memory.cuh"
#include "cuda/tensor/dealer.cuh"
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

  // Of this warp, if it reads.
  __device__ Stages<Shape> warp_ring() const {
    return {shared_address(ring) + this_warp() * Shape::kWarpRingBytes};
  }
  __device__ uint32_t barriers() const {
    return shared_address(buffers) + Shape::kMergeBuffers * Shape::kMergeBytes;
  }
  __device__ Shelf shelf() const {
    return {buffers + Shape::kMergeBuffers * Shape::kMergeBytes + Shape::kBarrierBytes};
  }
  __device__ char* pace() const { return shelf().memory + kShelfBytes; }
  // Where nodes of the tree of splits wait.
  __device__ WaitingRoom<Shape> waiting() const { return {pace() + Shape::kPaceBytes}; }
  __device__ uint32_t copy_barriers() const {
    return barriers() + this_warp() * Shape::kStages * 8;
  }
  __device__ uint32_t meeting_barriers() const {
    return barriers() + Shape::kWarps * Shape::kStages * 8;
  }
};

__device__ inline bool is_reader() {
  return this_warp() < kWarps;
}
// This thread among those that do not read.
__device__ inline Worker merger() {
  return {static_cast<int>(threadIdx.x) - kThreads / 2, kThreads / 2};
}

template <class E, class Shape>
struct Meeting {
  static constexpr int kBuffers = Shape::kMergeBuffers;
  char* buffers;
  uint32_t barriers;  // of each buffer: full, then empty
  int count = 0;      // meetings that this warp has left

  __device__ Meeting(char* memory, uint32_t first_barrier)
      : buffers(memory), barriers(first_barrier) {}

  // By all threads, the readers after they have asked for their first tile; begin() by one of them.
  // In a meeting every thread arrives for what it wrote, or read, itself.
  template <class Begin>
  __device__ void open(const Begin& begin) const {
    if (threadIdx.x == kThreads / 2) {
      for (int buffer = 0; buffer < kBuffers; ++buffer) {
        init_barrier(barriers + 16 * buffer, kThreads / 2);
        init_barrier(barriers + 16 * buffer + 8, kThreads / 2);
      }
      begin();
    }
    meet_all<kThreads>();
  }
  __device__ void open() const {
    open([] {});
  }

  __device__ uint32_t full() const { return barriers + 16 * (count % kBuffers); }
  __device__ uint32_t parity() const { return count / kBuffers % 2; }

  // The buffer of the piece at hand.
  __device__ Merge<E, Shape> merge() const {
    return Merge<E, Shape>(buffers + count % kBuffers * Shape::kMergeBytes);
  }

  // Readers, before they write to the buffer: what was there has been merged.
  __device__ void enter() const {
    if (count >= kBuffers) wait_barrier(full() + 8, parity() ^ 1);
  }

  // What was left at the meeting before this one has been merged, and stored.
  __device__ void wait_for_last() const {
    if (count == 0) return;
    const int before = count - 1;
    wait_barrier(barriers + 16 * (before % kBuffers) + 8, before / kBuffers % 2);
  }

  // Readers, after.
  __device__ void leave() const { arrive(full()); }
  // The other threads, who store what was left, unless this is the `last` meeting of the block.
  template <class Store>
  __device__ void attend(const Store& store) const {
    wait_barrier(full(), parity());
    store(merge(), merger());
    arrive(full() + 8);
  }
  // All of them, if it is not the last.
  __device__ void next() { ++count; }

  // What is left at the last meeting is stored by all threads of the block.  `folds`: that reads
  // what was stored at the one before.
  template <class Store>
  __device__ void close(bool folds, const Store& store) const {
    wait_barrier(full(), parity());
    if (folds) wait_for_last();
    store(merge(), Worker{static_cast<int>(threadIdx.x), kThreads});
  }
};

}  // namespace flashdec::cuda
