// Warps in step.
//
// The memory does not serve multiprocessors evenly, and a warp that has fallen behind never catches
// up: at the end of a long run the last one comes 2 % after the others, which by then leave the
// memory idle.  So a warp waits for a moment before it asks for its next tile, the longer the less
// it has still to read than the average.  Nothing but time depends on this.
#pragma once

#include "cuda/device/clock.cuh"
#include "cuda/device/memory.cuh"
#include "cuda/tensor/meeting.cuh"

namespace flashdec::cuda {

// Tiles from one look at the others to the next.  Looking at every tile costs more than it brings:
// all warps read and write the same word.
constexpr int kLook = 2;
// From one look to the next a warp waits once, for this part of the lead that it sees, and at most
// for kLongestWait; both in the time that a tile takes.
constexpr float kGain = 0.4f;
constexpr float kLongestWait = 0.45f;
// In clocks: a warp may have been taken from its multiprocessor, and then no tile takes that long.
constexpr float kMostClocks = 16384.0f;
// Tiles by which what is seen of the others is late: they are counted by twos when both are there.
// Measured, too: a whole tile, as that would be, does worse, and long rows do better with more.
template <class Shape>
constexpr float kLag = Shape::kPanels <= 2 ? 0.25f : 0.5f;
// Tiles.  A warp that seems to be further ahead began after the others.
constexpr float kFarAhead = 16.0f;

// What all paced warps of this source file's kernels have read, of all launches, modulo 2^32.  Each
// warp sees what has been added since it began; launches at the same time make each other wait
// less.
static __device__ uint32_t tiles_read;

// Of a launch that is not paced.
struct NoPace {
  template <class Deal>
  __device__ static void begin(const Deal&) {}
  __device__ static uint32_t ask() { return 0; }
  __device__ static void wait() {}
  __device__ static void count(uint32_t) {}
};

// What a warp keeps of it in shared memory, because registers are scarce.
struct PaceState {
  int hold;         // clocks
  int left;         // tiles of this warp, at the last look
  uint32_t end;     // of tiles_read
  uint32_t looked;  // at what time
  float share;      // of one warp
};
static_assert(sizeof(PaceState) == kPaceBytes);

// For each tile, in this order: ask(); then the tile is waited for; wait(), count().
template <class Shape>
struct Pace {
  // Half of the warps look at even tiles and half at odd ones, so that what they see of each other
  // does not jump.  Large groups do better if all look at the same; measured, not understood.
  static constexpr bool kByTurns = Shape::kHeads == 8;

  int until_look = INT_MAX;  // tiles

  // Once what came before the launch has ended.
  template <class Deal>
  __device__ void begin(const Deal& deal) {
    const Load load = deal.load(this_warp());
    const int warps = kWarps * load.blocks;
    if (!is_paced(load.all, warps, deal.p.paced_from)) return;
    const int warp = static_cast<int>(blockIdx.x) * kWarps + this_warp();
    const int later = kByTurns ? warp % kLook : 0;
    until_look = kLook + later;
    const uint32_t end = load_relaxed(&tiles_read) + static_cast<uint32_t>(load.all);
    keep({0, load.mine - later, end, clocks(), __fdividef(1.0f, static_cast<float>(warps))});
  }

  // What the others have read, if the coming tile is one for a look.
  __device__ uint32_t ask() const { return until_look == 1 ? load_relaxed(&tiles_read) : 0; }

  // Before the next tile is asked for.
  __device__ void wait() const {
    if (until_look != kLook) return;
    const int hold = state().hold;
    if (hold > 0) stall(hold);
  }

  // What is found out here has its effect at the next tile.
  __device__ void count(uint32_t seen) {
    if (--until_look > 0) return;
    until_look = kLook;
    PaceState s = state();
    const float average = static_cast<float>(static_cast<int>(s.end - seen)) * s.share;
    s.left -= kLook;
    const float left = static_cast<float>(s.left + 1);  // when `seen` was read
    const float lead = average - left - kLag<Shape>;
    const uint32_t now = clocks();
    const float of_tile = static_cast<float>(now - s.looked) * (1.0f / kLook);
    const bool waits = s.left > 0 && lead < kFarAhead;
    const float wait = fminf(fminf(kGain * lead, kLongestWait) * of_tile, kMostClocks);
    s.hold = waits ? static_cast<int>(wait) : 0;
    s.looked = now;
    keep(s);
    if (threadIdx.x % 32 == 0) add_relaxed(&tiles_read, kLook);
  }

  __device__ static PaceState& state() {
    return reinterpret_cast<PaceState*>(Room<Shape>(shared_memory()).pace())[this_warp()];
  }
  __device__ static void keep(const PaceState& s) {
    __syncwarp();  // every lane has read it
    if (threadIdx.x % 32 == 0) state() = s;
    __syncwarp();
  }
};

}  // namespace flashdec::cuda
