// The workspace of one run.
#pragma once

#include "core/plan.h"
#include "torch/tensor.h"

namespace flashdec::torch {

// On the CPU memory of the thread; on a GPU the caller's, prepared, or PyTorch's for as long as
// this lives: what its allocator then gives to others is used behind the run.
class Scratch {
 public:
  // `workspace` may be empty.
  Scratch(const Plan& plan, const Tensor& workspace, const Array& q);

  void* memory() const { return memory_; }
  uint64_t bytes() const { return bytes_; }
  bool prepared() const { return prepared_; }

 private:
  void take(const Array& workspace, const Array& q);

  Tensor holder_;
  void* memory_ = nullptr;
  uint64_t bytes_ = 0;
  bool prepared_ = false;
};

}  // namespace flashdec::torch
