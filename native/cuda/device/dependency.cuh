// Programmatic dependent launch (PTX ISA, "griddepcontrol"): the next kernel of the stream may be
// set up while this one runs, and this one was while the one before it ran.
#pragma once

namespace flashdec::cuda {

// The blocks of the next kernel may take what room is left, if it was launched so.
__device__ inline void let_next_start() {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
#endif
}

// Everything before this kernel has ended, and what it wrote can be read.
__device__ inline void wait_for_previous() {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}

}  // namespace flashdec::cuda
