// The functions of PyTorch that the operators take.
#pragma once

#include <cstdint>

namespace flashdec::torch {

using Value = uint64_t;  // a StableIValue
using Handle = void*;    // an AtenTensorHandle, which points to an at::Tensor
using Kernel = void (*)(Value* stack, uint64_t arguments, uint64_t results);

// Found in the process at run time: nothing of PyTorch is linked to.
struct Api {
  // Its stable ABI: torch/csrc/inductor/aoti_torch/c/shim.h and torch/csrc/stable/c/shim.h.  What
  // returns an int32_t returns 0, or the code of an error.
  int32_t (*library_def)(const char* name, const char* file, uint32_t line, void** library);
  int32_t (*library_impl)(const char* name, const char* dispatch_key, const char* file,
                          uint32_t line, void** library);
  int32_t (*define)(void* library, const char* schema);
  int32_t (*implement)(void* library, const char* operator_name, Kernel kernel);
  int32_t (*get_dim)(Handle, int64_t* dim);
  int32_t (*get_sizes)(Handle, int64_t** sizes);
  int32_t (*get_strides)(Handle, int64_t** strides);
  int32_t (*get_data_ptr)(Handle, void** data);
  int32_t (*get_dtype)(Handle, int32_t* dtype);
  int32_t (*get_device_type)(Handle, int32_t* type);
  int32_t (*get_device_index)(Handle, int32_t* index);
  int32_t (*empty_strided)(int64_t dim, const int64_t* sizes, const int64_t* strides, int32_t dtype,
                           int32_t device_type, int32_t device_index, Handle* made);
  int32_t (*delete_tensor)(Handle);
  void (*check)(bool condition, const char* function, const char* file, uint32_t line,
                const char* message);  // throws unless the condition holds
  bool (*grad_mode_is_enabled)();
  int32_t (*current_cuda_stream)(int32_t device, void** stream);  // null: without CUDA

  // What that ABI has no word for, C++ functions that PyTorch exports.
  bool (*requires_grad)(const void* impl);  // c10::TensorImpl::requires_grad() const
  bool (*is_inference)(Handle);             // at::native::is_inference(const at::Tensor&)
  bool (*inference_mode)();                 // c10::InferenceMode::is_enabled()
  void (*bump_version)(Handle);  // torch::autograd::impl::bump_version(const at::Tensor&)
  void (*free)(void*);           // operator delete, of PyTorch's C++ run time
};

// Refuses where PyTorch is not loaded, or lacks one of them.
const Api& api();

}  // namespace flashdec::torch
