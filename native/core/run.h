// The one way from checked arguments to a kernel.
#pragma once

#include "core/plan.h"

namespace flashdec {

// Refuses what the plan does not take; else computes, or enqueues the computation.
void run(const Plan& plan, const flashdec_args& args, void* workspace, uint64_t bytes,
         CUstream_st* stream);

}  // namespace flashdec
