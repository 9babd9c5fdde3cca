// A decode of arrays that have been read, with the thread's plan for them.
#pragma once

#include "core/plan.h"
#include "core/validate_arrays.h"

namespace flashdec::torch {

struct DecodeOptions {
  float scale;
  uint32_t axes;
  uint32_t flags;  // of flashdec_args
  bool batch_invariant;
};

struct Scratch {
  void* memory;
  uint64_t bytes;
  bool prepared;
};

// Good until the thread's next call.
const Plan& plan_of(const Arrays& arrays, const DecodeOptions& options);

// Whether a run needs no workspace of the caller's: then `scratch` is what there is.
bool needs_no_workspace(const Plan& plan, Scratch* scratch);

// A workspace of the caller's, from its first address that will do.
Scratch scratch_of(const Array& workspace, const Array& q);

void attend(const Plan& plan, const Arrays& arrays, const DecodeOptions& options,
            const Scratch& scratch, CUstream_st* stream);

}  // namespace flashdec::torch
