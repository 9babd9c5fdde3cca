// The tensors of one call, read.
#pragma once

#include "torch/tensor.h"

namespace flashdec::torch {

// `Arrays` has pointers `of` as many operands, null where one is absent; `kName` names them.
template <class Arrays, int kCount, const char* (*kName)(int)>
class Operands {
 public:
  void read(int operand, const Tensor& tensor) {
    if (!tensor) return;
    read_tensor(tensor, kName(operand), &storage_[operand]);
    arrays.of[operand] = &storage_[operand];
  }

  const Array& operator[](int operand) const { return storage_[operand]; }

  Arrays arrays = {};

 private:
  Array storage_[kCount];
};

}  // namespace flashdec::torch
