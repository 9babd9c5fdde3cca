#include "core/array_checks.h"

#include "core/array_text.h"
#include "core/status.h"

namespace flashdec {
namespace {

constexpr int32_t kCpu = 1, kCuda = 2, kPinned = 3, kManaged = 13;  // DLDeviceType

bool is_host(const Array& x) {
  return x.device_type == kCpu || x.device_type == kPinned;
}
bool is_cuda(const Array& x) {
  return x.device_type == kCuda || x.device_type == kManaged;
}

bool are_together(const Array& x, const Array& y) {
  if (is_host(x) || is_host(y)) return is_host(x) && is_host(y);
  const bool anywhere = x.device_type == kManaged || y.device_type == kManaged;
  return is_cuda(x) == is_cuda(y) && (anywhere || x.device_id == y.device_id);
}

}  // namespace

void check_ndim(const char* name, const Array& x, int32_t least, int32_t most) {
  if (x.ndim >= least && x.ndim <= most) return;
  if (least == most)
    refuse(FLASHDEC_INVALID_VALUE, "%s has %d dimensions; it must have %d", name, x.ndim, most);
  refuse(FLASHDEC_INVALID_VALUE, "%s has %d dimensions; it must have %d or %d", name, x.ndim, least,
         most);
}

void check_float(const char* name, const Array& x) {
  if (x.dtype == 0)
    refuse(FLASHDEC_INVALID_VALUE,
           "%s has elements of type %s; they must be float32, float16 or bfloat16 (in NumPy: "
           "ml_dtypes.bfloat16)",
           name, type_name(x).text);
}

void check_filled(const char* name, const Array& x) {
  for (int32_t i = 0; i < x.ndim; ++i)
    if (x.shape[i] == 0)
      refuse(FLASHDEC_INVALID_VALUE, "%s has the shape %s; every axis must have an element", name,
             shape_text(x.shape, x.ndim).text);
}

void check_packed(const char* name, const Array& x) {
  const int32_t last = x.ndim - 1;
  if (x.shape[last] > 1 && x.strides[last] != 1)
    refuse(FLASHDEC_INVALID_STRIDE, "%s has the stride %lld along its last axis; it must be 1",
           name, static_cast<long long>(x.strides[last]));
}

void check_writable(const char* name, const Array& x) {
  if (x.readonly) refuse(FLASHDEC_INVALID_VALUE, "%s is read-only; it is written", name);
}

void check_memory(const char* name, const Array& x) {
  if (x.data == nullptr)
    refuse(FLASHDEC_NULL_POINTER, "%s has no memory behind it; a fake or meta tensor cannot run",
           name);
}

void check_beside(const char* name, const Array& x, const char* other_name, const Array& other) {
  if (!are_together(x, other))
    refuse(FLASHDEC_WRONG_DEVICE, "%s is on %s and %s on %s", name, device_text(x).text, other_name,
           device_text(other).text);
}

void check_shape(const char* name, const Array& x, const int64_t* wanted, int32_t ndim) {
  bool same = x.ndim == ndim;
  for (int32_t i = 0; same && i < ndim; ++i)
    same = x.shape[i] == wanted[i];
  if (!same)
    refuse(FLASHDEC_INVALID_VALUE, "%s has the shape %s; it must be %s", name,
           shape_text(x.shape, x.ndim).text, shape_text(wanted, ndim).text);
}

int32_t checked_cuda_device(const char* name, const Array& x) {
  if (is_cuda(x)) return x.device_id;
  if (!is_host(x))
    refuse(FLASHDEC_WRONG_DEVICE,
           "%s is on a device of DLPack's type %d; it must be on the CPU (1) or CUDA (2)", name,
           x.device_type);
  return -1;
}

}  // namespace flashdec
