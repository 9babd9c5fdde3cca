// Kernels onto the stream.
#pragma once

#include <cuda.h>
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
  CUfunction function;
  LaunchShape shape;
  // Its blocks may take their places while the kernel before it ends (programmatic dependent
  // launch): it waits for that one itself, with wait_for_previous().
  bool dependent;
  bool waits;     // its blocks wait for each other: not on a part of the device
  bool together;  // and all of them have to be resident, or none
};

// Enqueues; false if blocks that wait for each other could not be resident together.
bool enqueue(const Start& start, cudaStream_t stream);

// What is found out about a kernel and granted to it, once for each context.
class KernelSetup {
 public:
  // In the current context, whose id is `context`.
  Start start(const void* kernel, const LaunchShape& shape, uint64_t context);
  Start start(const void* kernel, const LaunchShape& shape);

 private:
  // Stays for good, one for each context that there has been, because another thread may be looking
  // at it.
  struct Found {
    uint64_t context;  // its id, never used again by another
    CUfunction function;
    int smem;
    bool dependent;
    const Found* next;
  };
  const Found& find(const void* kernel, const LaunchShape& shape, uint64_t context);

  std::atomic<const Found*> found_{nullptr};
};

}  // namespace flashdec::cuda
