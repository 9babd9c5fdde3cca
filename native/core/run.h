// The ways from arguments to kernels.
#pragma once

#include "core/plan.h"
#include "flashdec_append.h"
#include "flashdec_merge.h"

namespace flashdec {

// Refuses what the plan does not take; else computes, or enqueues the computation.
void run(const Plan& plan, const flashdec_args& args, void* workspace, uint64_t bytes,
         CUstream_st* stream);

// The same of the verbs beside it.
void append(const flashdec_append_args& args, CUstream_st* stream);
void merge(const flashdec_merge_args& args, CUstream_st* stream);

}  // namespace flashdec
