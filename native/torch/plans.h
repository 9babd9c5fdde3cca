// Plans by what they are for, kept by each thread.
#pragma once

#include "core/plan.h"

namespace flashdec::torch {

// `device` is the number of a CUDA device; -1: the CPU.  Good until the thread's next call.
const Plan& plan_for(const flashdec_descriptor& desc, bool batch_invariant, int32_t device);

// This thread's scratch memory, for one run at a time.
void* host_scratch(int64_t bytes);

}  // namespace flashdec::torch
