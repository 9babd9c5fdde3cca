// One warp of a block on the host: enough of CUDA for device code that steps through its work by
// whole warps.  Lanes are fibers that take turns; each waits in a collective until all are there.
#pragma once

#include <ucontext.h>

#include <algorithm>
#include <climits>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <type_traits>
#include <vector>

namespace emulation {

constexpr int kLanes = 32;
constexpr size_t kStackBytes = 64 * 1024;

struct Index {
  unsigned x;
};

struct Warp {
  ucontext_t scheduler;
  ucontext_t lanes[kLanes];
  std::vector<char> stacks = std::vector<char>(kLanes * kStackBytes);
  bool ended[kLanes];
  int lane;
  // What each lane brought to a collective: of this one and of the one before, because a lane may
  // go on before others have looked.
  int64_t values[2][kLanes];
  unsigned turns[kLanes];
  std::function<void()> body;
};

inline Warp warp;
inline Index thread, block, grid, block_size;

inline void run_lane() {
  warp.body();
  warp.ended[warp.lane] = true;
  swapcontext(&warp.lanes[warp.lane], &warp.scheduler);
}

// The values of all lanes, once all have brought theirs.
inline const int64_t* meet(int64_t value) {
  const int lane = warp.lane;
  const unsigned turn = warp.turns[lane]++ % 2;
  warp.values[turn][lane] = value;
  swapcontext(&warp.lanes[lane], &warp.scheduler);
  return warp.values[turn];
}

// Runs `body` in every lane.  False if lanes parted: some ended while others were in a collective.
inline bool run_warp(unsigned of_block, const std::function<void()>& body) {
  block.x = of_block;
  warp.body = body;
  for (int lane = 0; lane < kLanes; ++lane) {
    warp.ended[lane] = false;
    warp.turns[lane] = 0;
    getcontext(&warp.lanes[lane]);
    warp.lanes[lane].uc_stack.ss_sp = warp.stacks.data() + lane * kStackBytes;
    warp.lanes[lane].uc_stack.ss_size = kStackBytes;
    warp.lanes[lane].uc_link = nullptr;
    makecontext(&warp.lanes[lane], run_lane, 0);
  }
  for (;;) {
    int ended = 0;
    for (int lane = 0; lane < kLanes; ++lane) {
      if (!warp.ended[lane]) {
        warp.lane = lane;
        thread.x = static_cast<unsigned>(lane);
        swapcontext(&warp.scheduler, &warp.lanes[lane]);
      }
      ended += warp.ended[lane] ? 1 : 0;
    }
    if (ended == kLanes) return true;
    if (ended != 0) return false;
  }
}

template <class Fold>
int fold_lanes(int value, const Fold& fold) {
  const int64_t* all = meet(value);
  int64_t sum = all[0];
  for (int lane = 1; lane < kLanes; ++lane)
    sum = fold(sum, all[lane]);
  return static_cast<int>(sum);
}

}  // namespace emulation

#define __device__
#define __host__
#define __noinline__ __attribute__((noinline))
#define threadIdx emulation::thread
#define blockIdx emulation::block
#define gridDim emulation::grid
#define blockDim emulation::block_size

namespace flashdec::cuda {

using std::max;
using std::min;

inline int __clz(int value) {
  return value == 0 ? 32 : __builtin_clz(static_cast<unsigned>(value));
}
inline int __ffs(int value) {
  return __builtin_ffs(value);
}
inline int __shfl_sync(unsigned, int value, int lane) {
  return static_cast<int>(emulation::meet(value)[lane & 31]);
}
inline int __shfl_up_sync(unsigned, int value, int distance) {
  const int lane = emulation::warp.lane;
  const int64_t* all = emulation::meet(value);
  return static_cast<int>(lane >= distance ? all[lane - distance] : value);
}
inline unsigned __ballot_sync(unsigned, bool value) {
  const int64_t* all = emulation::meet(value ? 1 : 0);
  unsigned bits = 0;
  for (int lane = 0; lane < emulation::kLanes; ++lane)
    bits |= static_cast<unsigned>(all[lane]) << lane;
  return bits;
}
inline int __reduce_min_sync(unsigned, int value) {
  return emulation::fold_lanes(value, [](int64_t a, int64_t b) { return std::min(a, b); });
}
inline int __reduce_max_sync(unsigned, int value) {
  return emulation::fold_lanes(value, [](int64_t a, int64_t b) { return std::max(a, b); });
}
inline int __reduce_add_sync(unsigned, int value) {
  return emulation::fold_lanes(value, [](int64_t a, int64_t b) { return a + b; });
}

}  // namespace flashdec::cuda
