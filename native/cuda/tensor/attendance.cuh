// Blocks that wait for each other's parts: how they know that those come.
//
// Where lengths may differ, all blocks of a launch are resident together: the driver answers for
// that (a cooperative launch).  Elsewhere every block says that it has come.  A warp that has
// waited for long asks whether all have: if so, what it waits for is on its way, and it waits on.
// If not, its own block may be what keeps another one out, so it notes what it leaves undone and
// goes; the block that comes last, after which nobody leaves, does that for it.  So a launch ends
// however few of its blocks there is room for, and the bits are the same, whoever reduces what.
#pragma once

#include "core/workspace.h"
#include "cuda/device/memory.cuh"
#include "cuda/tensor/params.h"
#include "cuda/tensor/shape.h"

namespace flashdec::cuda {

static_assert(kThreads == 32 * kBlockWarps);

// Looks at what has not arrived, before a warp asks: some 50 us.
constexpr int kPatience = 64;

// What each word holds between two launches, as do all of a prepared workspace.
constexpr uint32_t kNothing = 0xffffffffu;

struct Attendance {
  uint32_t* words;

  // Blocks that have come, less one.
  __device__ uint32_t* have_come() const { return words; }
  // Notes of what was left undone, less one.
  __device__ uint32_t* notes() const { return words + 1; }
  // Of a warp, numbered through all blocks: the number of what it left undone, and all after that.
  __device__ uint32_t* note_of(int warp) const { return words + 2 + warp; }

  __device__ static int warps() { return static_cast<int>(gridDim.x) * kBlockWarps; }
  __device__ static int own_number() {
    return static_cast<int>(blockIdx.x) * kBlockWarps + static_cast<int>(threadIdx.x) / 32;
  }
  // The block that comes last takes back what they have counted.
  __device__ static bool are_all(uint32_t come) {
    return come == kNothing || come + 1 == gridDim.x;
  }

  // By one warp of every block, once what came before has ended and before the block meets, because
  // none of its warps may ask whether all have come while it has not: how many have come before,
  // less one, in its first lane.  It is not waited for here.
  __device__ uint32_t come() const { return threadIdx.x % 32 == 0 ? fetch_add(have_come(), 1) : 0; }

  // By the same, later.  True if its block has come last, and others have left it something.
  __device__ bool is_left_something(uint32_t before) const {
    if (__shfl_sync(kAllLanes, before, 0) + 2 != gridDim.x) return false;
    fence();
    __syncwarp();  // every lane reads notes after that
    const bool any = load_relaxed(notes()) != kNothing;
    if (threadIdx.x % 32 == 0) store_relaxed(have_come(), kNothing);
    return __any_sync(kAllLanes, any);
  }

  // By one thread.
  __device__ void write_note(uint32_t what) const {
    store_relaxed(note_of(own_number()), what);
    fetch_add(notes(), 1);
  }
  // What it said, unless someone else has taken it.
  __device__ uint32_t take_note(int warp) const {
    const uint32_t what = exchange(note_of(warp), kNothing);
    if (what != kNothing) fetch_add(notes(), kNothing);
    return what;
  }
};

// What few launches need stands aside (work.cuh).  By a whole warp that has waited for long, before
// it has changed anything: false if it has to go, and has noted `what` it leaves.
static __device__ __noinline__ bool may_stay(Attendance all, uint32_t what) {
  bool stays = false;
  if (threadIdx.x % 32 == 0) {
    all.write_note(what);
    fence();
    // The block that comes last after this sees the note.  One that has come before may see it,
    // too: then it is whose who takes it.
    const uint32_t come = fetch_add(all.have_come(), 0);
    stays = Attendance::are_all(come) && all.take_note(Attendance::own_number()) == what;
  }
  return __shfl_sync(kAllLanes, stays, 0);
}

// The same, until all have come.
static __device__ __noinline__ bool wait_for_all(Attendance all, uint32_t what) {
  for (int looks = 0; looks < kPatience; ++looks)
    if (__any_sync(kAllLanes, Attendance::are_all(load_relaxed(all.have_come())))) return true;
  return may_stay(all, what);
}

// What a warp of a block has left undone.
struct Left {
  int block;
  int warp;
  int what;  // number of the first; -1: nothing

  // Of that block, whose work this is.
  __device__ int thread() const { return 32 * warp + static_cast<int>(threadIdx.x) % 32; }
};

// By a whole warp of the block that has come last: the next of what others have left.
static __device__ __noinline__ Left take_left(Attendance all) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  for (int first = 0; first < Attendance::warps(); first += 32) {
    const int mine = first + lane;
    const bool any = mine < Attendance::warps() && load_relaxed(all.note_of(mine)) != kNothing;
    for (unsigned some = __ballot_sync(kAllLanes, any); some != 0; some &= some - 1) {
      const int warp = first + __ffs(static_cast<int>(some)) - 1;
      const uint32_t note = lane == 0 ? all.take_note(warp) : kNothing;
      const int what = static_cast<int>(__shfl_sync(kAllLanes, note, 0));
      if (what >= 0) return {warp / kBlockWarps, warp % kBlockWarps, what};
    }
  }
  return {0, 0, -1};
}

}  // namespace flashdec::cuda
