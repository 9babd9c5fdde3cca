// FLASHDEC_CHECK: nothing.
#pragma once

#include "core/kernel.h"

namespace flashdec::cuda {

inline void check_contents(const Launch&) {}

}  // namespace flashdec::cuda
