#include "core/validate.h"

#include <cmath>
#include <cstring>

#include "core/plan.h"
#include "core/status.h"
#include "core/workspace.h"

namespace flashdec {
namespace {

using ll = long long;

constexpr uint32_t kMaxAlignment = 256;
constexpr uint32_t kMaxThreads = 1024;
constexpr uint32_t kPreferenceFlags =
    FLASHDEC_PREFER_BATCH_INVARIANT | FLASHDEC_PREFER_NO_SM90A | FLASHDEC_PREFER_NO_WORKSPACE;

const Refusal kAccepted = {FLASHDEC_SUCCESS, ""};
const Refusal kNotMeant = {FLASHDEC_UNSUPPORTED, ""};  // a row for another dtype or backend

void check_flags(const char* name, uint32_t flags, uint32_t known) {
  if ((flags & ~known) != 0)
    refuse(FLASHDEC_INVALID_FLAGS, "%s is 0x%x; this library knows the bits 0x%x", name, flags,
           known);
}

void check_range(const char* name, int64_t value, int64_t least, int64_t most) {
  if (value < least || value > most)
    refuse(FLASHDEC_INVALID_VALUE, "%s is %lld; it must be %lld to %lld", name, ll(value),
           ll(least), ll(most));
}

void check_dtype(const char* name, uint32_t dtype) {
  if (dtype < FLASHDEC_FLOAT32 || dtype > FLASHDEC_BFLOAT16)
    refuse(FLASHDEC_INVALID_VALUE,
           "%s is %u; it must be FLASHDEC_FLOAT32 (1), FLASHDEC_FLOAT16 (2) or FLASHDEC_BFLOAT16 "
           "(3)",
           name, dtype);
}

// The largest power of two that divides `bytes`, up to 16.
uint32_t natural_alignment(int64_t bytes) {
  uint32_t alignment = 16;
  while (bytes % alignment != 0)
    alignment /= 2;
  return alignment;
}

uint32_t resolve_alignment(const flashdec_descriptor& desc, int64_t head_dim_v) {
  const int64_t size = element_size(desc.q_dtype);
  if (desc.alignment == 0)
    return natural_alignment((desc.head_dim | head_dim_v) * size);  // low bits of either
  const bool power_of_two = (desc.alignment & (desc.alignment - 1)) == 0;
  if (!power_of_two || desc.alignment < size || desc.alignment > kMaxAlignment)
    refuse(FLASHDEC_INVALID_VALUE,
           "alignment is %u; it must be 0 or a power of two from %lld (one element) to %u bytes",
           desc.alignment, ll(size), kMaxAlignment);
  return desc.alignment;
}

float resolve_scale(const flashdec_descriptor& desc) {
  if (!std::isfinite(desc.scale))
    refuse(FLASHDEC_INVALID_VALUE, "scale is %g; it must be finite, or 0 for 1/sqrt(head_dim)",
           static_cast<double>(desc.scale));
  if (desc.scale != 0.0f) return desc.scale;
  return static_cast<float>(1.0 / std::sqrt(static_cast<double>(desc.head_dim)));
}

void check_heads(const flashdec_descriptor& desc) {
  check_range("batch", desc.batch, 1, kMaxExtent);
  check_range("q_heads", desc.q_heads, 1, kMaxExtent);
  check_range("kv_heads", desc.kv_heads, 1, desc.q_heads);
  if (desc.q_heads % desc.kv_heads != 0)
    refuse(FLASHDEC_INVALID_VALUE,
           "q_heads is %lld and kv_heads %lld; q_heads must be a multiple of kv_heads",
           ll(desc.q_heads), ll(desc.kv_heads));
  if (desc.batch * desc.q_heads > kMaxExtent)
    refuse(FLASHDEC_INVALID_VALUE, "batch * q_heads is %lld; it must be at most %lld",
           ll(desc.batch * desc.q_heads), ll(kMaxExtent));
}

void check_paging(const flashdec_descriptor& desc) {
  check_range("page_size", desc.page_size, 0, kMaxExtent);
  if (desc.page_size == 0 && desc.num_pages != 0)
    refuse(FLASHDEC_INVALID_VALUE,
           "num_pages is %lld but page_size is 0; it must be 0 where the cache is not paged",
           ll(desc.num_pages));
  if (desc.page_size != 0) check_range("num_pages", desc.num_pages, 1, kMaxExtent);
}

// ---- args -----------------------------------------------------------------

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

void check_pointer(const char* name, const void* pointer, int64_t alignment) {
  if (pointer == nullptr) refuse(FLASHDEC_NULL_POINTER, "%s is NULL; it is required", name);
  if (reinterpret_cast<uintptr_t>(pointer) % static_cast<uintptr_t>(alignment) != 0)
    refuse(FLASHDEC_MISALIGNED, "%s is at %p; its address must be a multiple of %lld bytes", name,
           pointer, ll(alignment));
}

void check_optional(const char* name, const void* pointer, int64_t alignment) {
  if (pointer != nullptr) check_pointer(name, pointer, alignment);
}

// A stride along an axis of one element is never used, so anything goes there.
void check_strides(const Problem& problem, const Array& array) {
  const int64_t size = element_size(problem.element);
  __int128 last = array.row;
  for (int axis = 0; axis < 3; ++axis) {
    if (array.extents[axis] <= 1) continue;
    const int64_t stride = array.strides[axis];
    const char* axis_text = axis_name(problem, array, axis);
    if (stride < 0)
      refuse(FLASHDEC_INVALID_STRIDE, "%s_stride_%s is %lld; strides must be 0 (broadcast) or more",
             array.name, axis_text, ll(stride));
    if (static_cast<__int128>(stride) * size % problem.alignment != 0)
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

// Two elements of an output at one address would make its value depend on the order of writes.
void check_no_overlap(const Problem& p, const char* name, int64_t row, int64_t stride_batch,
                      int64_t stride_head) {
  const bool batch_outside = p.q_heads == 1 || (p.batch > 1 && stride_batch >= stride_head);
  const int64_t inner_extent = batch_outside ? p.q_heads : p.batch;
  const int64_t inner = batch_outside ? stride_head : stride_batch;
  const int64_t outer_extent = batch_outside ? p.batch : p.q_heads;
  const int64_t outer = batch_outside ? stride_batch : stride_head;
  const bool inner_apart = inner_extent == 1 || inner >= row;
  const __int128 gaps = inner_extent == 1 ? 0 : static_cast<__int128>(inner_extent - 1) * inner;
  if (inner_apart && (outer_extent == 1 || outer >= gaps + row)) return;
  refuse(FLASHDEC_INVALID_STRIDE,
         "%s_stride_batch is %lld and %s_stride_head %lld; rows of %lld elements would overlap, "
         "and an output must have each element to itself",
         name, ll(stride_batch), name, ll(stride_head), ll(row));
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
  check_no_overlap(p, "o", p.head_dim_v, a.o_stride_batch, a.o_stride_head);
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
  check_no_overlap(p, "lse", 1, a.lse_stride_batch, a.lse_stride_head);
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
  return x;
}

// ---- kernels --------------------------------------------------------------

Refusal why_not_cpu(const Kernel& kernel, const CpuDevice& cpu) {
  const bool runs = cpu.forced ? kernel.isa == cpu.isa : kernel.isa <= cpu.isa;
  return runs ? kAccepted : kNotMeant;
}

Refusal why_not_cuda(const Kernel& kernel, const Choice& choice, const CudaDevice& cuda) {
  if (cuda.ordinal < 0) return kNotMeant;  // refused in flashdec_select, with the driver's reason
  if (cuda.arch < kernel.arch)
    return refusal(FLASHDEC_UNSUPPORTED,
                   "the device's compute capability is %d.%d; this build has kernels from %d.%d",
                   cuda.arch / 10, cuda.arch % 10, kernel.arch / 10, kernel.arch % 10);
  if (kernel.needs_sm90a && !choice.allow_sm90a)
    return refusal(FLASHDEC_PREFERENCE_UNMET, "%s needs sm_90a, which the preference leaves out",
                   kernel.name);
  if (cuda.smem_per_block < kernel.smem)
    return refusal(FLASHDEC_UNSUPPORTED,
                   "%s needs %lld bytes of shared memory in a block; the device has %lld",
                   kernel.name, ll(kernel.smem), ll(cuda.smem_per_block));
  return kAccepted;
}

}  // namespace

Problem validate(const flashdec_descriptor& desc) {
  check_flags("descriptor->flags", desc.flags, 0);
  check_heads(desc);
  check_range("max_kv_len", desc.max_kv_len, 1, kMaxExtent);
  check_range("head_dim", desc.head_dim, 1, kMaxExtent);
  check_range("head_dim_v", desc.head_dim_v, 0, kMaxExtent);
  check_paging(desc);
  check_dtype("q_dtype", desc.q_dtype);
  check_dtype("kv_dtype", desc.kv_dtype);
  if (desc.kv_dtype != desc.q_dtype)
    refuse(FLASHDEC_UNSUPPORTED,
           "kv_dtype is %s and q_dtype %s; this build has kernels only where they are the same",
           dtype_name(desc.kv_dtype), dtype_name(desc.q_dtype));
  Problem problem;
  std::memset(static_cast<void*>(&problem), 0, sizeof(problem));  // padding too: plans compare
  problem.batch = desc.batch;
  problem.q_heads = desc.q_heads;
  problem.kv_heads = desc.kv_heads;
  problem.group = desc.q_heads / desc.kv_heads;
  problem.max_kv_len = desc.max_kv_len;
  problem.head_dim = desc.head_dim;
  problem.head_dim_v = desc.head_dim_v != 0 ? desc.head_dim_v : desc.head_dim;
  problem.page_size = desc.page_size;
  problem.num_pages = desc.num_pages;
  problem.scale = resolve_scale(desc);
  problem.element = desc.q_dtype;
  problem.aux_element = desc.kv_dtype;
  problem.alignment = resolve_alignment(desc, problem.head_dim_v);
  return problem;
}

Choice validate(const flashdec_preference& preference) {
  check_flags("preference->flags", preference.flags, kPreferenceFlags);
  check_range("max_workspace_bytes", preference.max_workspace_bytes, 0, INT64_MAX);
  check_range("split_len", preference.split_len, 0, kMaxExtent);
  check_range("num_threads", preference.num_threads, 0, kMaxThreads);
  if (preference.prefer_backend > FLASHDEC_BACKEND_CUDA)
    refuse(FLASHDEC_INVALID_VALUE,
           "prefer_backend is %u; it must be FLASHDEC_BACKEND_ANY (0), CPU (1) or CUDA (2)",
           preference.prefer_backend);
  const bool none = (preference.flags & FLASHDEC_PREFER_NO_WORKSPACE) != 0;
  const bool limited = preference.max_workspace_bytes != 0;
  Choice choice;
  std::memset(static_cast<void*>(&choice), 0, sizeof(choice));
  choice.max_workspace_bytes = none ? 0 : limited ? preference.max_workspace_bytes : -1;
  choice.split_len = preference.split_len;
  choice.backend = preference.prefer_backend;
  choice.num_threads = preference.num_threads;
  choice.batch_invariant = (preference.flags & FLASHDEC_PREFER_BATCH_INVARIANT) != 0;
  choice.allow_sm90a = (preference.flags & FLASHDEC_PREFER_NO_SM90A) == 0;
  return choice;
}

Operands validate(const Plan& plan, const flashdec_args& args) {
  const Problem& problem = plan.problem;
  check_flags("args->flags", args.flags, FLASHDEC_ARGS_UNIFORM_KV_LEN);
  check_arrays(problem, args);
  check_lse(problem, args);
  check_lengths(problem, args);
  check_table(problem, args);
  check_optional("status", args.status, 4);
  return to_operands(problem, args);
}

void validate_stream(bool cpu, const void* stream) {
  if (cpu && stream != nullptr)
    refuse(FLASHDEC_INVALID_VALUE, "stream is %p but the plan is for the CPU; it must be NULL",
           stream);
}

void validate_workspace(const Plan& plan, const void* workspace, uint64_t bytes) {
  const auto needed = static_cast<uint64_t>(plan.workspace_bytes);
  if (bytes < needed)
    refuse(FLASHDEC_WORKSPACE_TOO_SMALL, "the workspace has %llu bytes; this plan needs %llu",
           static_cast<unsigned long long>(bytes), static_cast<unsigned long long>(needed));
  if (needed != 0) check_pointer("workspace", workspace, kWorkspaceAlign);
}

Refusal why_not(const Kernel& kernel, const Problem& problem, const Choice& choice,
                const Device& device) {
  if (choice.backend != FLASHDEC_BACKEND_ANY && kernel.backend != choice.backend) return kNotMeant;
  if (kernel.element != problem.element || kernel.aux_element != problem.aux_element)
    return kNotMeant;
  const Refusal machine = kernel.backend == FLASHDEC_BACKEND_CUDA
                              ? why_not_cuda(kernel, choice, device.cuda)
                              : why_not_cpu(kernel, device.cpu);
  if (machine.code != FLASHDEC_SUCCESS) return machine;
  const uint32_t layout = problem.paged() ? FLASHDEC_LAYOUT_PAGED : FLASHDEC_LAYOUT_STRIDED;
  if ((kernel.layout & layout) == 0)
    return refusal(FLASHDEC_UNSUPPORTED, "%s does not read this cache layout", kernel.name);
  if (problem.alignment < kernel.alignment)
    return refusal(FLASHDEC_UNSUPPORTED, "alignment is %u bytes; %s needs %lld", problem.alignment,
                   kernel.name, ll(kernel.alignment));
  if (problem.head_dim > kernel.max_head_dim)
    return refusal(FLASHDEC_UNSUPPORTED, "head_dim is %lld; this build has kernels up to %lld",
                   ll(problem.head_dim), ll(kernel.max_head_dim));
  if (problem.head_dim_v > kernel.max_head_dim)
    return refusal(FLASHDEC_UNSUPPORTED, "head_dim_v is %lld; this build has kernels up to %lld",
                   ll(problem.head_dim_v), ll(kernel.max_head_dim));
  return kAccepted;
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
