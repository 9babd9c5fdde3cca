// The arrays of one call.
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

  // A result: without contents, rows side by side, on the device of `like`.
  Tensor make(int operand, const Array& like, uint32_t dtype, int32_t ndim, const int64_t* shape) {
    arrays.of[operand] = &storage_[operand];
    return make_like(like, dtype, ndim, shape, &storage_[operand]);
  }

  const Array& operator[](int operand) const { return storage_[operand]; }

  Arrays arrays = {};

 private:
  Array storage_[kCount];
};

}  // namespace flashdec::torch
