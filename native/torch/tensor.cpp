#include "torch/tensor.h"

#include <utility>

#include "core/array_checks.h"
#include "core/array_text.h"
#include "core/status.h"

namespace flashdec::torch {
namespace {

constexpr int32_t kCpu = 0, kCuda = 1;      // c10::DeviceType
constexpr int32_t kDlCpu = 1, kDlCuda = 2;  // DLDeviceType
constexpr int32_t kDlOther = 0;             // none of them
constexpr int32_t kBytes = 0;               // c10::ScalarType

struct Type {
  uint32_t code;  // DLDataTypeCode
  uint32_t bits;
  uint32_t dtype;  // flashdec_dtype
};

// By c10::ScalarType, whose numbers never change (c10/core/ScalarType.h).
constexpr Type kTypes[] = {
    {1, 8, 0},                   // Byte
    {0, 8, 0},                   // Char
    {0, 16, 0},                  // Short
    {0, 32, 0},                  // Int
    {0, 64, 0},                  // Long
    {2, 16, FLASHDEC_FLOAT16},   // Half
    {2, 32, FLASHDEC_FLOAT32},   // Float
    {2, 64, 0},                  // Double
    {5, 32, 0},                  // ComplexHalf
    {5, 64, 0},                  // ComplexFloat
    {5, 128, 0},                 // ComplexDouble
    {6, 8, 0},                   // Bool
    {255, 8, 0},                 // QInt8
    {255, 8, 0},                 // QUInt8
    {255, 32, 0},                // QInt32
    {4, 16, FLASHDEC_BFLOAT16},  // BFloat16
};
constexpr int32_t kTypeCount = sizeof(kTypes) / sizeof(kTypes[0]);
constexpr int32_t kUint32 = 28;

Type type_of(int32_t scalar_type) {
  if (scalar_type == kUint32) return {1, 32, 0};
  if (scalar_type < 0 || scalar_type >= kTypeCount) return {255, 8, 0};
  return kTypes[scalar_type];
}

int32_t scalar_type_of(uint32_t dtype) {
  for (int32_t i = 0; i < kTypeCount; ++i)
    if (kTypes[i].dtype == dtype) return i;
  refuse(FLASHDEC_INTERNAL_ERROR, "there is no tensor of flashdec_dtype %u", dtype);
}

void check(int32_t error, const char* what) {
  if (error != 0) refuse(FLASHDEC_INTERNAL_ERROR, "PyTorch could not %s (error %d)", what, error);
}

Tensor make(const Array& like, int32_t scalar_type, int32_t ndim, const int64_t* shape,
            Array* array) {
  const Type type = type_of(scalar_type);
  array->struct_size = sizeof(*array);
  array->dtype = type.dtype;
  array->type_code = type.code;
  array->type_bits = type.bits;
  array->device_type = like.device_type;
  array->device_id = like.device_id;
  array->readonly = 0;
  array->ndim = ndim;
  int64_t packed = 1;
  for (int32_t i = ndim - 1; i >= 0; --i) {
    array->shape[i] = shape[i];
    array->strides[i] = packed;
    packed *= shape[i];
  }
  const bool cuda = like.device_type == kDlCuda;
  Handle made = nullptr;
  check(api().empty_strided(ndim, array->shape, array->strides, scalar_type, cuda ? kCuda : kCpu,
                            like.device_id, &made),
        "allocate");
  Tensor tensor(made);
  check(api().get_data_ptr(made, &array->data), "tell an address");
  return tensor;
}

}  // namespace

Tensor& Tensor::operator=(Tensor&& other) {
  std::swap(borrowed_, other.borrowed_);
  std::swap(handle_, other.handle_);
  return *this;
}

Tensor::~Tensor() {
  if (handle_ != nullptr && !borrowed_) api().delete_tensor(handle_);
}

Handle Tensor::release() {
  return std::exchange(handle_, nullptr);
}

Tensor Tensor::borrow(Handle handle) {
  Tensor tensor(handle);
  tensor.borrowed_ = true;
  return tensor;
}

void read_tensor(const Tensor& tensor, const char* name, Array* array) {
  const Api& torch = api();
  const Handle handle = tensor.handle();
  int64_t ndim, *shape, *strides;
  int32_t scalar_type, device_type, device_index;
  check(torch.get_dim(handle, &ndim), "count axes");
  constexpr int32_t kMaxDims = sizeof(array->shape) / sizeof(array->shape[0]);
  if (ndim > kMaxDims)
    refuse(FLASHDEC_INVALID_VALUE, "%s has %lld dimensions; at most %d are understood", name,
           static_cast<long long>(ndim), kMaxDims);
  if (torch.get_sizes(handle, &shape) != 0 || torch.get_strides(handle, &strides) != 0)
    refuse(FLASHDEC_NULL_POINTER,
           "%s is None, or a tensor without strides; rows of memory are needed", name);
  check(torch.get_dtype(handle, &scalar_type), "tell a dtype");
  check(torch.get_device_type(handle, &device_type), "tell a device");
  check(torch.get_device_index(handle, &device_index), "tell a device");
  check(torch.get_data_ptr(handle, &array->data), "tell an address");
  const Type type = type_of(scalar_type);
  array->struct_size = sizeof(*array);
  array->dtype = type.dtype;
  array->type_code = type.code;
  array->type_bits = type.bits;
  array->device_type = device_type == kCpu ? kDlCpu : device_type == kCuda ? kDlCuda : kDlOther;
  array->device_id = device_type == kCpu ? 0 : device_index;
  array->readonly = 0;
  array->ndim = static_cast<int32_t>(ndim);
  for (int64_t i = 0; i < ndim; ++i) {
    array->shape[i] = shape[i];
    array->strides[i] = strides[i];
  }
}

Tensor make_like(const Array& like, uint32_t dtype, int32_t ndim, const int64_t* shape,
                 Array* array) {
  return make(like, scalar_type_of(dtype), ndim, shape, array);
}

Tensor make_bytes(const Array& like, int64_t count, Array* array) {
  return make(like, kBytes, 1, &count, array);
}

CUstream_st* current_stream(const Array& array) {
  if (array.device_type != kDlCuda) return nullptr;
  void* stream = nullptr;
  check(api().current_cuda_stream(array.device_id, &stream), "tell its current stream");
  return static_cast<CUstream_st*>(stream);
}

void refuse_gradients(std::initializer_list<const Tensor*> tensors) {
  const Api& torch = api();
  if (!torch.grad_mode_is_enabled()) return;
  for (const Tensor* tensor : tensors) {
    if (!*tensor || !torch.requires_grad(*static_cast<void**>(tensor->handle()))) continue;
    Array array;
    read_tensor(*tensor, "a tensor", &array);
    refuse(FLASHDEC_UNSUPPORTED,
           "a tensor of shape %s requires grad; flashdec has no backward pass: call it under "
           "torch.no_grad(), or pass what .detach() returns",
           shape_text(array.shape, array.ndim).text);
  }
}

void check_may_write(const Tensor& tensor, const char* name) {
  const Api& torch = api();
  if (!torch.inference_mode() && torch.is_inference(tensor.handle()))
    refuse(FLASHDEC_INVALID_VALUE,
           "%s is an inference tensor; PyTorch lets it be written in torch.inference_mode() only",
           name);
}

void tell_of_write(const Tensor& tensor) {
  if (!api().is_inference(tensor.handle())) api().bump_version(tensor.handle());
}

}  // namespace flashdec::torch
