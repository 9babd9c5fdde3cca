// Arguments and results as Python's objects.
#pragma once

#include "torch/arguments.h"
#include "torch/parameters.h"

namespace flashdec::torch {

// Refuses what somebody else has to see: a tensor of a subclass, one that wants a gradient or whose
// sign is not in its memory (a part of a conjugate).  Tensors are borrowed; the interpreter's lock
// is held.
class PythonArguments final : public Arguments {
 public:
  // Given as PyObject_Vectorcall gives them: the values of keywords stand behind the others, and
  // keywords is null or the tuple of their names.
  PythonArguments(const Parameters& parameters, void* const* objects, int64_t count,
                  void* keywords);

  Tensor tensor() override;
  Tensor optional_tensor() override;
  double optional_number(double otherwise) override;
  bool flag() override;

 private:
  void* take() { return given_[taken_++]; }
  bool next_is_none() const;

  void* given_[kMaxParameters] = {};  // null: not given
  void* impls_[kMaxParameters];       // an at::Tensor is a pointer to its implementation
  int taken_ = 0;
};

// Whether a mode, a tracer or a profiler has to see what is called.
bool is_listened_to();

// What `callable` returns for them; null with Python's exception where it raises.
void* call(void* callable, void* const* objects, int64_t count, void* keywords);

// A new reference: None, a tensor, or a tuple of tensors; null as `call`.
void* as_object(const Results& results);

}  // namespace flashdec::torch
