// Kernels onto the stream.
#pragma once

#include <cuda_runtime_api.h>

#include <atomic>
#include <cstdint>

namespace flashdec::cuda {

struct LaunchShape {
  int64_t blocks;
  int threads;
  int smem;  // bytes
  void** arguments;
};

// A kernel, and what it is started with.
struct Start {
  cudaKernel_t kernel;
  LaunchShape shape;
  // Its blocks may take their places while the kernel before it ends (programmatic dependent
  // launch): it waits for that one itself, with wait_for_previous().
  bool dependent;
  bool together;  // its blocks wait for each other: all of them are resident, or none
};

// Enqueues; false if the blocks could not be resident together, though they should be.
bool enqueue(const Start& start, cudaStream_t stream);

// What is found out once for each kernel, and granted for each context.
class KernelSetup {
 public:
  Start start(const void* kernel, const LaunchShape& shape);

 private:
  struct State {
    uint64_t context : 44;  // its id, never used again by another
    uint64_t smem : 19;
    uint64_t dependent : 1;
  };
  State find(const void* kernel, const LaunchShape& shape, uint64_t context) const;
  cudaKernel_t handle(const void* kernel);

  std::atomic<State> state_{State{0, 0, 0}};
  std::atomic<cudaKernel_t> handle_{nullptr};  // the same in every context
};

}  // namespace flashdec::cuda
