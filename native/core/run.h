// The ways from arguments to kernels.
#pragma once

#include "core/plan.h"
#include "flashdec_append.h"

namespace flashdec {

// Refuses what the plan does not take; else computes, or enqueues the computation.
void run(const Plan& plan, const flashdec_args& args, void* workspace, uint64_t bytes,
         CUstream_st* stream);

// The same of an append.
void append(const flashdec_append_args& args, CUstream_st* stream);

}  // namespace flashdec
