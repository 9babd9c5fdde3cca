// Kernels onto the stream: here they run at once.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

namespace flashdec::cuda {

struct LaunchShape {
  int64_t blocks;
  int threads;
  int smem;
  void** arguments;
};

struct Start {
  const void* kernel;
  LaunchShape shape;
  bool waits;
  bool together;
};

bool enqueue(const Start& start, cudaStream_t stream);

struct KernelSetup {
  static Start start(const void* kernel, const LaunchShape& shape, uint64_t = 0) {
    return {kernel, shape, false, false};
  }
};

}  // namespace flashdec::cuda
