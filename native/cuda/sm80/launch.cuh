// Split kernels with cp.async, for every GPU from sm_80.
#pragma once

#include "cuda/backend.h"
#include "cuda/contents.h"
#include "cuda/copy/async.cuh"
#include "cuda/tensor/launch.cuh"

namespace flashdec::cuda {

template <class E, int HeadDim, int Heads>
void run_sm80(const Launch& launch) {
  using Shape = AsyncShape<HeadDim, Heads>;
  const ContextGuard context(launch.stream, launch.plan.device);
  check_contents(launch);
  launch_tensor<E, Shape, AsyncCopy<Shape>>(launch);
}

}  // namespace flashdec::cuda
