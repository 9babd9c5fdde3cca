// Split kernels with tensor copies (TMA), for sm_90a.
#pragma once

#include "cuda/backend.h"
#include "cuda/contents.h"
#include "cuda/copy/tma.cuh"
#include "cuda/tensor/launch.cuh"

namespace flashdec::cuda {

template <class E, int HeadDim, int Heads>
void run_sm90(const Launch& launch) {
  using Shape = TmaShape<HeadDim, Heads>;
  const ContextGuard context(launch.stream, launch.plan.device);
  check_contents(launch);
  launch_tensor<E, Shape, TmaCopy<Shape>>(launch);
}

}  // namespace flashdec::cuda
