// Warps in step.
//
// The memory does not serve multiprocessors evenly, and a warp that has fallen behind never catches
// up: at the end of a long run the last one comes 2 % after the others, which by then leave the
// memory idle.  So a warp waits for a moment before it asks for its next tile, the longer the less
// it has still to read than the average.  Nothing but time depends on this.
#pragma once

#include "cuda/device/async_copy.cuh"
#include "cuda/device/clock.cuh"
#include "cuda/device/memory.cuh"
#include "cuda/tensor/meeting.cuh"

namespace flashdec::cuda {

// From one look at the others to the next, some tiles later (looks_every in params.h), a warp waits
// once, for this part of the lead that it sees, and at most for kLongestWait; both in the time that
// a tile takes.
constexpr float kGain = 0.4f;
constexpr float kLongestWait = 0.45f;
// In clocks: a warp may have been taken from its multiprocessor, and then no tile takes that long.
constexpr float kMostClocks = 16384.0f;
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
  __device__ static uint32_t ask(const EvenParams&) { return 0; }
  __device__ static void wait() {}
  __device__ static void count(const EvenParams&, uint32_t) {}
  __device__ static void end() {}
};

// What a warp keeps of it in shared memory, because registers are scarce.
struct PaceState {
  int hold;         // clocks
  int left;         // tiles of this warp, at the last look
  uint32_t all;     // tiles of the launch
  uint32_t looked;  // at what time
  float share;      // of one warp
};
static_assert(sizeof(PaceState) + sizeof(uint32_t) == kPaceBytes);

// For each tile, in this order: ask(); the tile is waited for; wait(); the next one is asked for;
// count().  As little as possible comes between a tile and the request for the next.
template <class Shape, bool kPaged>
struct Pace {
  // Half of the warps look at even tiles and half at odd ones, so that what they see of each other
  // does not jump.  In rows large groups do better if all look at the same; measured, not
  // understood.
  static constexpr bool kByTurns = kPaged || Shape::kHeads == 8;
  // There are no more looks; the wait that follows the last one may be to come.
  static constexpr int kNoMore = INT_MAX / 2;

  int until_look = INT_MAX;  // tiles
  int hold = 0;              // clocks

  // Once what came before the launch has ended.
  template <class Deal>
  __device__ void begin(const Deal& deal) {
    const Load load = deal.load(this_warp());
    const int warps = kWarps * load.blocks;
    if (!is_paced(load.all, warps, deal.p.paced_from)) return;
    const int warp = static_cast<int>(blockIdx.x) * kWarps + this_warp();
    const int later = kByTurns ? warp % deal.p.looks_every : 0;
    until_look = deal.p.looks_every + later;
    keep({0, load.mine - later, static_cast<uint32_t>(load.all), clocks(),
          __fdividef(1.0f, static_cast<float>(warps))});
    // It comes behind the tiles that are on their way; nobody waits for it here.
    if (threadIdx.x % 32 == 0) copy_word(shared_address(&begun()), &tiles_read);
  }

  // What the others have read, if the coming tile is one for a look.
  __device__ uint32_t ask(const EvenParams& p) {
    hold = until_look == p.looks_every || until_look == kNoMore ? state().hold : 0;
    return until_look == 1 ? load_relaxed(&tiles_read) : 0;
  }

  // Before the next tile is asked for.
  __device__ void wait() const {
    if (hold > 0) stall(hold);
  }

  // What is found out here has its effect at the next tile.  Whose last look this is counts all
  // that it has left: one more would wait for `seen`, and the sums of its last tiles for that.
  __device__ void count(const EvenParams& p, uint32_t seen) {
    if (--until_look > 0) return;
    const int tiles = p.looks_every;
    wait_for_words();
    __syncwarp();
    PaceState s = state();
    const float average = static_cast<float>(static_cast<int>(begun() + s.all - seen)) * s.share;
    s.left -= tiles;
    const float left = static_cast<float>(s.left + 1);  // when `seen` was read
    const float lead = average - left - p.free_lead;
    const uint32_t now = clocks();
    const float of_tile = __fdividef(static_cast<float>(now - s.looked), static_cast<float>(tiles));
    const bool waits = s.left > 0 && lead < kFarAhead;
    const float wait = fminf(fminf(kGain * lead, kLongestWait) * of_tile, kMostClocks);
    s.hold = waits ? static_cast<int>(wait) : 0;
    s.looked = now;
    keep(s);
    const bool last = s.left <= tiles;
    until_look = last ? kNoMore : tiles;
    if (threadIdx.x % 32 == 0) add_relaxed(&tiles_read, tiles + (last ? max(s.left, 0) : 0));
  }

  // Nothing may arrive when the block is gone.
  __device__ static void end() { wait_for_words(); }

  __device__ static char* memory() {
    return Room<Shape>(shared_memory()).pace() + this_warp() * kPaceBytes;
  }
  __device__ static PaceState& state() { return *reinterpret_cast<PaceState*>(memory()); }
  // tiles_read, when the launch began.
  __device__ static uint32_t& begun() {
    return *reinterpret_cast<uint32_t*>(memory() + sizeof(PaceState));
  }
  __device__ static void keep(const PaceState& s) {
    __syncwarp();  // every lane has read it
    if (threadIdx.x % 32 == 0) state() = s;
    __syncwarp();
  }
};

}  // namespace flashdec::cuda
