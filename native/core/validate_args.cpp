// Args, workspaces, streams, and what FLASHDEC_CHECK=1 looks at.

#include <cstdlib>
#include <cstring>

#include "core/checks.h"
#include "core/plan.h"
#include "core/validate.h"
#include "core/workspace.h"

namespace flashdec {
namespace {

// One array of the four: what the checks need to know of it.
struct Array {
  const char* name;
  const void* pointer;
  int64_t extents[3];  // batch or page, token, head
  int64_t strides[3];
  int64_t row;  // elements in a row
};

constexpr const char* kAxes[3] = {"batch", "token", "head"};

const char* axis_name(const Problem& problem, const Array& array, int axis) {
  const bool cache = array.name[0] == 'k' || array.name[0] == 'v';
  return axis == 0 && cache && problem.paged() ? "page" : kAxes[axis];
}

void check_optional(const char* name, const void* pointer, int64_t alignment) {
  if (pointer != nullptr) check_pointer(name, pointer, alignment);
}

// A stride along an axis of one element is never used, so anything goes there.
void check_strides(const Problem& problem, const Array& array) {
  const auto size = static_cast<uint64_t>(element_size(problem.element));
  __int128 last = array.row;
  for (int axis = 0; axis < 3; ++axis) {
    if (array.extents[axis] <= 1) continue;
    const int64_t stride = array.strides[axis];
    const char* axis_text = axis_name(problem, array, axis);
    if (stride < 0)
      refuse(FLASHDEC_INVALID_STRIDE, "%s_stride_%s is %lld; strides must be 0 (broadcast) or more",
             array.name, axis_text, ll(stride));
    if ((static_cast<uint64_t>(stride) * size & (problem.alignment - 1)) != 0)  // a power of two
      refuse(FLASHDEC_MISALIGNED,
             "%s_stride_%s is %lld elements of %lld bytes; the plan's descriptor promises "
             "multiples of %u bytes (a smaller alignment there selects another kernel)",
             array.name, axis_text, ll(stride), ll(size), problem.alignment);
    last += static_cast<__int128>(array.extents[axis] - 1) * stride;
  }
  if (last * size > (static_cast<__int128>(1) << 62))
    refuse(FLASHDEC_INVALID_STRIDE,
           "the strides of %s reach beyond 2^62 bytes; no array is that large", array.name);
}

void check_arrays(const Problem& p, const flashdec_args& a) {
  const int64_t blocks = p.paged() ? p.num_pages : p.batch;
  const int64_t tokens = p.paged() ? p.page_size : p.max_kv_len;
  const Array arrays[] = {
      {"q",
       a.q,
       {p.batch, 1, p.q_heads},
       {a.q_stride_batch, a.q_stride_token, a.q_stride_head},
       p.head_dim},
      {"k",
       a.k,
       {blocks, tokens, p.kv_heads},
       {a.k_stride_batch, a.k_stride_token, a.k_stride_head},
       p.head_dim},
      {"v",
       a.v,
       {blocks, tokens, p.kv_heads},
       {a.v_stride_batch, a.v_stride_token, a.v_stride_head},
       p.head_dim_v},
      {"o",
       a.o,
       {p.batch, 1, p.q_heads},
       {a.o_stride_batch, a.o_stride_token, a.o_stride_head},
       p.head_dim_v},
  };
  for (const Array& array : arrays) {
    check_pointer(array.name, array.pointer, p.alignment);
    check_strides(p, array);
  }
  check_apart({"o",
               a.o,
               element_size(p.element),
               {"batch", nullptr, "head"},
               {p.batch, 1, p.q_heads},
               {a.o_stride_batch, 0, a.o_stride_head},
               p.head_dim_v,
               false});
}

void check_lse(const Problem& p, const flashdec_args& a) {
  if (a.lse == nullptr) return;
  check_pointer("lse", a.lse, 4);
  const int64_t extents[2] = {p.batch, p.q_heads};
  const int64_t strides[2] = {a.lse_stride_batch, a.lse_stride_head};
  for (int axis = 0; axis < 2; ++axis) {
    const int64_t stride = strides[axis];
    if (extents[axis] > 1 && (stride < 0 || stride > (int64_t{1} << 60) / extents[axis]))
      refuse(FLASHDEC_INVALID_STRIDE,
             "lse_stride_%s is %lld; it must be at least 0 and reach at most 2^60 elements",
             axis == 0 ? "batch" : "head", ll(stride));
  }
  check_apart({"lse",
               a.lse,
               4,
               {"batch", nullptr, "head"},
               {p.batch, 1, p.q_heads},
               {a.lse_stride_batch, 0, a.lse_stride_head},
               1,
               false});
}

void check_lengths(const Problem& p, const flashdec_args& a) {
  check_optional("kv_len", a.kv_len, 4);
  const bool uniform = (a.flags & FLASHDEC_ARGS_UNIFORM_KV_LEN) != 0;
  if (uniform && a.kv_len != nullptr)
    refuse(FLASHDEC_INVALID_VALUE,
           "kv_len is given and FLASHDEC_ARGS_UNIFORM_KV_LEN is set; the lengths can come from one "
           "of them only");
  if (uniform) check_range("uniform_kv_len", a.uniform_kv_len, 0, p.max_kv_len);
  if (!uniform && a.uniform_kv_len != 0)
    refuse(FLASHDEC_INVALID_VALUE,
           "uniform_kv_len is %lld but FLASHDEC_ARGS_UNIFORM_KV_LEN is not set; it must be 0 then",
           ll(a.uniform_kv_len));
}

void check_table(const Problem& p, const flashdec_args& a) {
  if (!p.paged()) {
    if (a.page_table != nullptr)
      refuse(FLASHDEC_INVALID_VALUE,
             "page_table is given but the plan's page_size is 0; it must be NULL without pages");
    return;
  }
  check_pointer("page_table", a.page_table, 4);
  const int64_t width = p.table_width();
  const bool broadcast = a.page_table_stride == 0;
  if (p.batch > 1 && !broadcast && a.page_table_stride < width)
    refuse(FLASHDEC_INVALID_STRIDE,
           "page_table_stride is %lld; it must be 0 (one row for all) or at least %lld, the pages "
           "of %lld tokens",
           ll(a.page_table_stride), ll(width), ll(p.max_kv_len));
  if (p.batch > 1 && a.page_table_stride > (int64_t{1} << 60) / p.batch)
    refuse(FLASHDEC_INVALID_STRIDE,
           "page_table_stride is %lld; the rows would reach beyond 2^60 elements",
           ll(a.page_table_stride));
}

Operands to_operands(const Problem& p, const flashdec_args& a) {
  Operands x;
  x.q = a.q;
  x.k = a.k;
  x.v = a.v;
  x.o = a.o;
  x.lse = a.lse;
  x.kv_len = a.kv_len;
  x.page_table = a.page_table;
  x.status = a.status;
  x.q_strides = {a.q_stride_batch, a.q_stride_token, a.q_stride_head};
  x.k_strides = {a.k_stride_batch, a.k_stride_token, a.k_stride_head};
  x.v_strides = {a.v_stride_batch, a.v_stride_token, a.v_stride_head};
  x.o_strides = {a.o_stride_batch, a.o_stride_token, a.o_stride_head};
  x.lse_stride_batch = a.lse_stride_batch;
  x.lse_stride_head = a.lse_stride_head;
  x.page_table_stride = a.page_table_stride;
  const bool uniform = (a.flags & FLASHDEC_ARGS_UNIFORM_KV_LEN) != 0;
  x.uniform_kv_len = uniform ? a.uniform_kv_len : p.max_kv_len;
  x.prepared_workspace = (a.flags & FLASHDEC_ARGS_PREPARED_WORKSPACE) != 0;
  x.lse_base2 = (a.flags & FLASHDEC_ARGS_BASE2) != 0;
  return x;
}

}  // namespace

Operands validate(const Plan& plan, const flashdec_args& args) {
  const Problem& problem = plan.problem;
  check_flags(
      "args->flags", args.flags,
      FLASHDEC_ARGS_UNIFORM_KV_LEN | FLASHDEC_ARGS_PREPARED_WORKSPACE | FLASHDEC_ARGS_BASE2);
  check_arrays(problem, args);
  check_lse(problem, args);
  check_lengths(problem, args);
  check_table(problem, args);
  check_optional("status", args.status, 4);
  return to_operands(problem, args);
}

void validate_stream(bool cpu, const void* stream) {
  if (cpu && stream != nullptr)
    refuse(FLASHDEC_INVALID_VALUE, "stream is %p but the work is for the CPU; it must be NULL",
           stream);
}

void validate_workspace(const Plan& plan, const void* workspace, uint64_t bytes) {
  const auto needed = static_cast<uint64_t>(plan.workspace_bytes);
  if (bytes < needed)
    refuse(FLASHDEC_WORKSPACE_TOO_SMALL, "the workspace has %llu bytes; this plan needs %llu",
           static_cast<unsigned long long>(bytes), static_cast<unsigned long long>(needed));
  if (needed != 0) check_pointer("workspace", workspace, kWorkspaceAlign);
}

bool checks_contents() {
  const char* text = std::getenv("FLASHDEC_CHECK");
  if (text == nullptr || *text == '\0' || std::strcmp(text, "0") == 0) return false;
  if (std::strcmp(text, "1") == 0) return true;
  refuse(FLASHDEC_INVALID_VALUE, "FLASHDEC_CHECK is \"%s\"; it must be 0 or 1", text);
}

void validate_contents(const Problem& problem, const Operands& operands) {
  for (int64_t b = 0; b < problem.batch; ++b) {
    const int64_t len = operands.kv_len != nullptr ? operands.kv_len[b] : operands.uniform_kv_len;
    if (len < 0 || len > problem.max_kv_len)
      refuse(FLASHDEC_INVALID_KV_LEN, "kv_len[%lld] is %lld; it must be 0 to %lld", ll(b), ll(len),
             ll(problem.max_kv_len));
    if (!problem.paged()) continue;
    const int32_t* row = operands.page_table + b * operands.page_table_stride;
    for (int64_t i = 0; i < ceil_div(len, problem.page_size); ++i)
      if (row[i] < 0 || row[i] >= problem.num_pages)
        refuse(FLASHDEC_INVALID_PAGE,
               "page_table[%lld, %lld] is %d; it must be 0 to %lld, the last page", ll(b), ll(i),
               row[i], ll(problem.num_pages - 1));
  }
}

}  // namespace flashdec
