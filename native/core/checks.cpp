#include "core/checks.h"

#include <cstdio>

#include "core/problem.h"

namespace flashdec {

void check_dtype(const char* name, uint32_t dtype) {
  if (dtype < FLASHDEC_FLOAT32 || dtype > FLASHDEC_BFLOAT16)
    refuse(FLASHDEC_INVALID_VALUE,
           "%s is %u; it must be FLASHDEC_FLOAT32 (1), FLASHDEC_FLOAT16 (2) or FLASHDEC_BFLOAT16 "
           "(3)",
           name, dtype);
}

void check_pointer(const char* name, const void* pointer, int64_t alignment) {
  if (pointer == nullptr) refuse(FLASHDEC_NULL_POINTER, "%s is NULL; it is required", name);
  if (reinterpret_cast<uintptr_t>(pointer) % static_cast<uintptr_t>(alignment) != 0)
    refuse(FLASHDEC_MISALIGNED, "%s is at %p; its address must be a multiple of %lld bytes", name,
           pointer, ll(alignment));
}

int32_t checked_device(uint32_t backend, int32_t device) {
  if (backend != FLASHDEC_BACKEND_CPU && backend != FLASHDEC_BACKEND_CUDA)
    refuse(FLASHDEC_INVALID_VALUE,
           "backend is %u; it must be FLASHDEC_BACKEND_CPU (1) or FLASHDEC_BACKEND_CUDA (2)",
           backend);
  const bool cpu = backend == FLASHDEC_BACKEND_CPU;
  check_range("device", device, 0, cpu ? 0 : kMaxExtent);
  return cpu ? -1 : device;
}

void check_reach(const Rows& x) {
  check_pointer(x.name, x.pointer, x.size);
  __int128 least = 0, most = x.row;
  for (int axis = 0; axis < 3; ++axis) {
    if (x.extents[axis] <= 1) continue;
    const int64_t stride = x.strides[axis];
    if (stride < 0 && !(axis == 0 && x.may_step_back))
      refuse(FLASHDEC_INVALID_STRIDE, "%s_stride%s%s is %lld; it must be 0 or more", x.name,
             *x.axes[axis] != '\0' ? "_" : "", x.axes[axis], ll(stride));
    (stride < 0 ? least : most) += static_cast<__int128>(x.extents[axis] - 1) * stride;
  }
  if ((most - least) * x.size > (static_cast<__int128>(1) << 62))
    refuse(FLASHDEC_INVALID_STRIDE,
           "the strides of %s reach beyond 2^62 bytes; no array is that large", x.name);
}

void refuse_overlap(const Rows& x) {
  char strides[200] = "";
  int length = 0;
  for (int axis = 0; axis < 3; ++axis) {
    if (x.axes[axis] == nullptr) continue;
    const char* joint = length > 0 ? " and " : "";
    length += std::snprintf(strides + length, sizeof(strides) - static_cast<size_t>(length),
                            "%s%s_stride_%s %s%lld", joint, x.name, x.axes[axis],
                            length > 0 ? "" : "is ", ll(x.strides[axis]));
  }
  refuse(FLASHDEC_INVALID_STRIDE,
         "%s; rows of %lld elements would overlap, and an output must have each element to itself",
         strides, ll(x.row));
}

}  // namespace flashdec
