// (Problem, Choice, Kernel, Device) -> Schedule: integers in, integers out.
#pragma once

#include "core/device.h"
#include "core/kernel.h"
#include "core/problem.h"
#include "core/split.h"

namespace flashdec {

// Tokens in a split on the CPU, where splits are fixed always.
constexpr int64_t kCpuSplitLen = 256;

// Tokens in a split with batch_invariant, on the CPU and on the GPU, so that both cut at the same
// ones.  Partial results in float32, written and read, are 2 group / split_len of the bytes of a
// 16-bit cache: at most 1.6 %, or 3 % for groups of 32 and more.
constexpr int64_t invariant_split_len(int64_t group) {
  constexpr int64_t kLeast = 256, kMost = 2048, kTokensPerHead = 128;
  const int64_t tokens = kTokensPerHead * group;
  return tokens < kLeast ? kLeast : tokens > kMost ? kMost : tokens;
}

Schedule make_schedule(const Problem& problem, const Choice& choice, const Kernel& kernel,
                       const Device& device);

}  // namespace flashdec
