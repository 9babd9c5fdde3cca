// A grid of blocks on the host: every thread is a fiber, and a scheduler lets warps take turns, in
// an order that a seed decides.  Enough of CUDA for the kernels of native/cuda/tensor/, whose
// hardware is behind the functions of native/cuda/device/: cuda/device/ here has the same functions
// over this.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

namespace emulation {

constexpr int kLanes = 32;
constexpr int kMostBrought = 32;  // bytes of a lane in a collective

struct Index {
  unsigned x;
};
// Of the thread that runs.
extern Index thread, block, grid, block_size;

struct Launch {
  unsigned blocks;
  unsigned threads;
  size_t shared_bytes;
  unsigned first_block;  // 0, or a block that runs alone
  unsigned of_blocks;
  unsigned resident;  // blocks that there is room for at a time; 0: all
  unsigned first;     // comes first, then others, always the one before; 0: in any order
  unsigned naps;      // a warp sleeps at one word for others in so many; 0: never
};

// Runs `body` in every thread.  "" or a sentence that says what went wrong: threads that wait for
// ever, or part; a copy that outlives its block; an address outside shared memory.
std::string run(const Launch& launch, uint64_t seed, const std::function<void()>& body);

// Lets others run, until `ready()`.
void wait_until(const std::function<bool()>& ready);
void let_others_run();

// For the end of the kernel before; whoever touches words of the workspace earlier is reported.
void wait_for_kernel_before();
void needs_kernel_before();

// Of memory that other blocks write: has_stored() after a write; before_count() before a count;
// before_load() lets others run, and waits for a write if this thread has looked there since the
// last one, and `keeps_looking`.
void has_stored();
void before_count();
void before_load(const void* source, bool keeps_looking);

// A collective of the warp: what each lane brought, one after another.  All name the same `kind`.
const void* bring(const char* kind, const void* brought, size_t bytes);
template <class T>
const T* bring(const char* kind, const T& value) {
  static_assert(sizeof(T) == kMostBrought || sizeof(T) < kMostBrought);
  return static_cast<const T*>(bring(kind, &value, sizeof(T)));
}
inline int this_lane() {
  return static_cast<int>(thread.x) % kLanes;
}

// Shared memory by its addresses there.
char* shared_begin();
uint32_t address_of(const void* pointer);
char* shared_at(uint32_t address, size_t bytes);

// Barriers in shared memory.
void init_barrier(uint32_t address, uint32_t arrivals);
void arrive_at(uint32_t address);
void expect_bytes(uint32_t address, int64_t bytes);
void bytes_arrive(uint32_t address, int64_t bytes);
void wait_for_phase(uint32_t address, uint32_t parity);
bool has_completed(uint32_t address, uint32_t parity);
void meet_block();

// Some time later, in this block.
void later(std::function<void()> copy);

}  // namespace emulation
