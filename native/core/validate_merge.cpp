// What flashdec_merge is given.

#include <cstdint>

#include "core/checks.h"
#include "core/device.h"
#include "core/merge.h"

namespace flashdec {
namespace {

constexpr int64_t kMostHeadDim = 65536;

Dtype checked_dtype(const char* name, uint32_t value, Dtype otherwise) {
  if (value == 0 && otherwise != 0) return otherwise;
  check_dtype(name, value);
  return value;
}

void check_arrays(const flashdec_merge_args& a, const Merge& m) {
  const Rows part_o = {"part_o",
                       a.part_o,
                       element_size(m.part_element),
                       {"part", "batch", "head"},
                       {a.parts, a.batch, a.heads},
                       {a.part_o_stride_part, a.part_o_stride_batch, a.part_o_stride_head},
                       a.head_dim,
                       true};
  const Rows part_lse = {"part_lse",
                         a.part_lse,
                         element_size(m.lse_element),
                         {"part", "batch", "head"},
                         {a.parts, a.batch, a.heads},
                         {a.part_lse_stride_part, a.part_lse_stride_batch, a.part_lse_stride_head},
                         1,
                         true};
  const Rows o = {"o",
                  a.o,
                  element_size(m.element),
                  {nullptr, "batch", "head"},
                  {1, a.batch, a.heads},
                  {0, a.o_stride_batch, a.o_stride_head},
                  a.head_dim,
                  false};
  const Rows lse = {"lse",
                    a.lse,
                    4,
                    {nullptr, "batch", "head"},
                    {1, a.batch, a.heads},
                    {0, a.lse_stride_batch, a.lse_stride_head},
                    1,
                    false};
  check_reach(part_o);
  check_reach(part_lse);
  check_reach(o);
  check_apart(o);
  if (a.lse == nullptr) return;
  check_reach(lse);
  check_apart(lse);
}

}  // namespace

Merge validate(const flashdec_merge_args& a) {
  check_flags("args->flags", a.flags, FLASHDEC_MERGE_BASE2);
  const int32_t device = checked_device(a.backend, a.device);
  check_range("num_threads", a.num_threads, 0, kMaxThreads);
  check_range("parts", a.parts, 1, kMaxExtent);
  check_range("batch", a.batch, 1, kMaxExtent);
  check_range("heads", a.heads, 1, kMaxExtent);
  check_range("batch * heads", a.batch * a.heads, 1, kMaxExtent);
  check_range("head_dim", a.head_dim, 1, kMostHeadDim);
  Merge m = {};
  m.part_element = checked_dtype("part_o_dtype", a.part_o_dtype, Dtype{});
  m.lse_element = checked_dtype("part_lse_dtype", a.part_lse_dtype, FLASHDEC_FLOAT32);
  m.element = checked_dtype("o_dtype", a.o_dtype, m.part_element);
  check_arrays(a, m);
  m.base2 = (a.flags & FLASHDEC_MERGE_BASE2) != 0;
  m.device = device;
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
