// (Problem, Choice, Kernel, Device) -> Schedule: integers in, integers out.
#pragma once

#include "core/device.h"
#include "core/kernel.h"
#include "core/problem.h"
#include "core/split.h"

namespace flashdec {

// Tokens in a split on the CPU, where splits are fixed always.
constexpr int64_t kCpuSplitLen = 512;

// Tokens in a split with batch_invariant, on the CPU and on a GPU: both cut at the same ones.  To
// merge the warps' sums at the end of a split takes a GPU longer the more heads there are.
constexpr int64_t invariant_split_len(int64_t group) {
  return group <= 8 ? 512 : 1024;
}

// Tokens in the splits that a choice fixes; 0: the lengths decide.
int64_t fixed_split_len(const Problem& problem, const Choice& choice, const Kernel& kernel);

Schedule make_schedule(const Problem& problem, const Choice& choice, const Kernel& kernel,
                       const Device& device);

}  // namespace flashdec
