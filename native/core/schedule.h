// (Problem, Choice, Kernel, Device) -> Schedule: integers in, integers out.
#pragma once

#include "core/device.h"
#include "core/kernel.h"
#include "core/problem.h"
#include "core/split.h"

namespace flashdec {

// Tokens in a split wherever splits are fixed: on the CPU always, on the GPU with batch_invariant.
// The same on both, so that both cut at the same tokens.
constexpr int64_t kFixedSplitLen = 256;

Schedule make_schedule(const Problem& problem, const Choice& choice, const Kernel& kernel,
                       const Device& device);

}  // namespace flashdec
