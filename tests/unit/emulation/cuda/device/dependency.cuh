// Kernels run one after another.
#pragma once

namespace flashdec::cuda {

inline void let_next_start() {}
inline void wait_for_previous() {}

}  // namespace flashdec::cuda
