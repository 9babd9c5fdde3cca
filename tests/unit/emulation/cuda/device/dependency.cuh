// Kernels run one after another, but have to wait as if they did not.
#pragma once

#include "words.h"

namespace flashdec::cuda {

inline void let_next_start() {}
inline void wait_for_previous() {
  emulation::wait_for_kernel_before();
}

}  // namespace flashdec::cuda
