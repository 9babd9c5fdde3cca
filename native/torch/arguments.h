// What an operator is given, and what it returns.
#pragma once

#include "torch/tensor.h"

namespace flashdec::torch {

// Gives each argument away once, in the order of the schema.
class Arguments {
 public:
  virtual Tensor tensor() = 0;
  virtual Tensor optional_tensor() = 0;  // empty where it is None
  virtual double optional_number(double otherwise) = 0;
  virtual bool flag() = 0;

 protected:
  ~Arguments() = default;
};

// In the order of the schema.
struct Results {
  Tensor of[2];
  int count = 0;

  void push(Tensor tensor) { of[count++] = static_cast<Tensor&&>(tensor); }
};

}  // namespace flashdec::torch
