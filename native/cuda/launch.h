// What surrounds every launch: the right context, error codes into refusals.
#pragma once

#include <cuda.h>
#include <cuda_runtime_api.h>

#include "core/kernel.h"

namespace flashdec::cuda {

// Refuses with CUDA's own words if `error` is one; `what` names the call.
void check(cudaError_t error, const char* what);

// Refuses an ordinal that no usable device has.
void require_device(int32_t ordinal);

// Of the current context; no other has it, before or after.
uint64_t current_context_id();

// Makes the stream's context current for its lifetime, if it is not already, and the caller's again
// after that.  Refuses a stream of another device than the plan's.
class ContextGuard {
 public:
  ContextGuard(CUstream_st* stream, int32_t device);
  ~ContextGuard();
  ContextGuard(const ContextGuard&) = delete;
  ContextGuard& operator=(const ContextGuard&) = delete;

 private:
  void release();

  bool pushed_ = false;
  bool retained_ = false;
  int32_t device_;
};

// The grid of a kernel whose blocks loop over `items`.
inline unsigned grid_for(int64_t items) {
  constexpr int64_t kMost = INT32_MAX;
  return static_cast<unsigned>(items < kMost ? items : kMost);
}

}  // namespace flashdec::cuda
