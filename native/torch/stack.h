// Arguments and results as PyTorch's stack of values.
#pragma once

#include <cstring>

#include "torch/arguments.h"

namespace flashdec::torch {

// Take all before anything is refused: nobody else frees them.
class StackArguments final : public Arguments {
 public:
  explicit StackArguments(const Value* stack) : next_(stack) {}

  Tensor tensor() override { return Tensor(take<Handle>()); }

  Tensor optional_tensor() override {
    Handle handle = nullptr;
    unbox(&handle);
    return Tensor(handle);
  }

  double optional_number(double otherwise) override {
    unbox(&otherwise);
    return otherwise;
  }

  bool flag() override { return take<bool>(); }

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

inline void push(Results* results, Value* stack) {
  for (int i = 0; i < results->count; ++i)
    stack[i] = reinterpret_cast<Value>(results->of[i].release());
}

}  // namespace flashdec::torch
