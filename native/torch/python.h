// Arguments and results as Python's objects.
#pragma once

#include "torch/arguments.h"

namespace flashdec::torch {

// Refuses what somebody else has to see: a tensor of a subclass, one that wants a gradient or whose
// sign is not in its memory (a part of a conjugate).  Tensors are borrowed; the interpreter's lock
// is held.
class PythonArguments final : public Arguments {
 public:
  PythonArguments(void* const* objects, int64_t count);

  Tensor tensor() override;
  Tensor optional_tensor() override;
  double optional_number(double otherwise) override;
  bool flag() override;

  void check_all_taken() const;

 private:
  static constexpr int kMaxCount = 16;

  void* take();

  void* const* objects_;
  int count_;
  int taken_ = 0;
  void* impls_[kMaxCount];  // an at::Tensor is a pointer to its implementation
};

// Whether a mode or a tracer has to see what is called.
bool is_listened_to();

// A new reference: True, a tensor, or a tuple of tensors.
void* as_object(const Results& results);

}  // namespace flashdec::torch
