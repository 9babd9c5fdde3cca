// A tensor of PyTorch's.
#pragma once

#include <initializer_list>

#include "core/array.h"
#include "torch/api.h"

namespace flashdec::torch {

// A handle, owned unless it is borrowed; may be empty.
class Tensor {
 public:
  Tensor() = default;
  explicit Tensor(Handle handle) : handle_(handle) {}
  Tensor(Tensor&& other) : borrowed_(other.borrowed_), handle_(other.release()) {}
  Tensor& operator=(Tensor&& other);
  ~Tensor();

  explicit operator bool() const { return handle_ != nullptr; }
  Handle handle() const { return handle_; }
  Handle release();

  // What lives as long as the call.
  static Tensor borrow(Handle handle);

 private:
  bool borrowed_ = false;
  Handle handle_ = nullptr;
};

void read_tensor(const Tensor& tensor, const char* name, Array* array);

// Without contents, rows side by side, on the device of `like`; read into `array`.
Tensor make_like(const Array& like, uint32_t dtype, int32_t ndim, const int64_t* shape,
                 Array* array);

// Bytes on the device of `like`.
Tensor make_bytes(const Array& like, int64_t count, Array* array);

// PyTorch's current stream on the device of the array; null on the CPU.
CUstream_st* current_stream(const Array& array);

// Refuses tensors of which one requires a gradient, where somebody would wait for it.
void refuse_gradients(std::initializer_list<const Tensor*> tensors);

// Refuses a tensor that PyTorch lets nobody write to now; `name` is that of the argument.
void check_may_write(const Tensor& tensor, const char* name);

// Lets autograd know that what it may have kept has been written.
void tell_of_write(const Tensor& tensor);

}  // namespace flashdec::torch
