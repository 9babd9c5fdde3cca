// What an operator is given and returns, as PyTorch's stack of values.
#pragma once

#include <cstring>

#include "torch/tensor.h"

namespace flashdec::torch {

// Gives each argument away once, in the order of the schema.  Take all before anything is refused:
// nobody else frees them.
class Arguments {
 public:
  explicit Arguments(const Value* stack) : next_(stack) {}

  Tensor tensor() { return Tensor(take<Handle>()); }

  // Empty where it is None.
  Tensor optional_tensor() {
    Handle handle = nullptr;
    unbox(&handle);
    return Tensor(handle);
  }

  double optional_number(double otherwise) {
    unbox(&otherwise);
    return otherwise;
  }

  bool flag() { return take<bool>(); }

 private:
  template <class T>
  static T value_as(Value value) {
    T result;
    std::memcpy(&result, &value, sizeof(result));
    return result;
  }

  template <class T>
  T take() {
    return value_as<T>(*next_++);
  }

  // An optional value is null, or in a box of its own.
  template <class T>
  void unbox(T* value) {
    Value* const box = take<Value*>();
    if (box == nullptr) return;
    *value = value_as<T>(*box);
    api().free(box);
  }

  const Value* next_;
};

// Hands results over, in the order of the schema.
class Results {
 public:
  explicit Results(Value* stack) : next_(stack) {}

  void push(Tensor&& tensor) { *next_++ = reinterpret_cast<Value>(tensor.release()); }

 private:
  Value* next_;
};

}  // namespace flashdec::torch
