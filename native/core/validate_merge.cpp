// What flashdec_merge is given.

#include <cstdint>

#include "core/checks.h"
#include "core/device.h"
#include "core/merge.h"

namespace flashdec {
namespace {

constexpr int64_t kMost = INT32_MAX;
constexpr int64_t kMostHeadDim = 65536;
constexpr int kPartAxis = 0;
constexpr const char* kAxes[3] = {"part", "batch", "head"};

struct Array {
  const char* name;
  const void* pointer;
  int64_t size;        // bytes of an element
  int64_t extents[3];  // part, batch, head
  int64_t strides[3];
  int64_t row;  // elements in a row
};

Dtype checked_dtype(const char* name, uint32_t value, Dtype otherwise) {
  if (value == 0 && otherwise != 0) return otherwise;
  if (value < FLASHDEC_FLOAT32 || value > FLASHDEC_BFLOAT16)
    refuse(FLASHDEC_INVALID_VALUE,
           "%s is %u; it must be FLASHDEC_FLOAT32 (1), FLASHDEC_FLOAT16 (2) or FLASHDEC_BFLOAT16 "
           "(3)",
           name, value);
  return static_cast<Dtype>(value);
}

void check_reach(const Array& array) {
  if (array.pointer == nullptr)
    refuse(FLASHDEC_NULL_POINTER, "%s is NULL; it is required", array.name);
  if (reinterpret_cast<uintptr_t>(array.pointer) % static_cast<uintptr_t>(array.size) != 0)
    refuse(FLASHDEC_MISALIGNED, "%s is at %p; its address must be a multiple of %lld bytes",
           array.name, array.pointer, ll(array.size));
  __int128 least = 0, most = array.row;
  for (int axis = 0; axis < 3; ++axis) {
    if (array.extents[axis] <= 1) continue;
    const int64_t stride = array.strides[axis];
    if (stride < 0 && axis != kPartAxis)
      refuse(FLASHDEC_INVALID_STRIDE, "%s_stride_%s is %lld; it must be 0 or more", array.name,
             kAxes[axis], ll(stride));
    (stride < 0 ? least : most) += static_cast<__int128>(array.extents[axis] - 1) * stride;
  }
  if ((most - least) * array.size > (static_cast<__int128>(1) << 62))
    refuse(FLASHDEC_INVALID_STRIDE,
           "the strides of %s reach beyond 2^62 bytes; no array is that large", array.name);
}

void check_arrays(const flashdec_merge_args& a, const Merge& m) {
  const Array part_o = {"part_o",
                        a.part_o,
                        element_size(m.part_element),
                        {a.parts, a.batch, a.heads},
                        {a.part_o_stride_part, a.part_o_stride_batch, a.part_o_stride_head},
                        a.head_dim};
  const Array part_lse = {"part_lse",
                          a.part_lse,
                          element_size(m.lse_element),
                          {a.parts, a.batch, a.heads},
                          {a.part_lse_stride_part, a.part_lse_stride_batch, a.part_lse_stride_head},
                          1};
  const Array o = {"o",
                   a.o,
                   element_size(m.element),
                   {1, a.batch, a.heads},
                   {0, a.o_stride_batch, a.o_stride_head},
                   a.head_dim};
  const Array lse = {
      "lse", a.lse, 4, {1, a.batch, a.heads}, {0, a.lse_stride_batch, a.lse_stride_head}, 1};
  check_reach(part_o);
  check_reach(part_lse);
  check_reach(o);
  check_rows_apart({"o", a.batch, a.heads, a.o_stride_batch, a.o_stride_head, a.head_dim});
  if (a.lse == nullptr) return;
  check_reach(lse);
  check_rows_apart({"lse", a.batch, a.heads, a.lse_stride_batch, a.lse_stride_head, 1});
}

}  // namespace

Merge validate(const flashdec_merge_args& a) {
  check_flags("args->flags", a.flags, FLASHDEC_MERGE_BASE2);
  if (a.backend != FLASHDEC_BACKEND_CPU && a.backend != FLASHDEC_BACKEND_CUDA)
    refuse(FLASHDEC_INVALID_VALUE,
           "backend is %u; it must be FLASHDEC_BACKEND_CPU (1) or FLASHDEC_BACKEND_CUDA (2)",
           a.backend);
  const bool cpu = a.backend == FLASHDEC_BACKEND_CPU;
  check_range("device", a.device, 0, cpu ? 0 : kMost);
  check_range("num_threads", a.num_threads, 0, kMaxThreads);
  check_range("parts", a.parts, 1, kMost);
  check_range("batch", a.batch, 1, kMost);
  check_range("heads", a.heads, 1, kMost);
  check_range("batch * heads", a.batch * a.heads, 1, kMost);
  check_range("head_dim", a.head_dim, 1, kMostHeadDim);
  Merge m = {};
  m.part_element = checked_dtype("part_o_dtype", a.part_o_dtype, Dtype{});
  m.lse_element = checked_dtype("part_lse_dtype", a.part_lse_dtype, FLASHDEC_FLOAT32);
  m.element = checked_dtype("o_dtype", a.o_dtype, m.part_element);
  check_arrays(a, m);
  m.base2 = (a.flags & FLASHDEC_MERGE_BASE2) != 0;
  m.device = cpu ? -1 : a.device;
  m.num_threads = a.num_threads;
  m.parts = a.parts;
  m.batch = a.batch;
  m.heads = a.heads;
  m.head_dim = a.head_dim;
  m.part_o = a.part_o;
  m.part_lse = a.part_lse;
  m.o = a.o;
  m.lse = a.lse;
  m.part_o_strides = {a.part_o_stride_part, a.part_o_stride_batch, a.part_o_stride_head};
  m.part_lse_strides = {a.part_lse_stride_part, a.part_lse_stride_batch, a.part_lse_stride_head};
  m.o_strides = {0, a.o_stride_batch, a.o_stride_head};
  m.lse_strides = {0, a.lse_stride_batch, a.lse_stride_head};
  return m;
}

}  // namespace flashdec
