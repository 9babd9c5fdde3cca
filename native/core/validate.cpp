// Descriptors and preferences.

#include "core/validate.h"

#include <cmath>
#include <cstring>

#include "core/checks.h"

namespace flashdec {
namespace {

constexpr float kMaxScale = 2e38f;
constexpr uint32_t kMaxAlignment = 256;
constexpr uint32_t kPreferenceFlags =
    FLASHDEC_PREFER_BATCH_INVARIANT | FLASHDEC_PREFER_NO_SM90A | FLASHDEC_PREFER_NO_WORKSPACE;

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
  // Kernels multiply it with log2(e), which must not overflow.
  if (!(std::fabs(desc.scale) <= kMaxScale))
    refuse(FLASHDEC_INVALID_VALUE,
           "scale is %g; it must be finite, from %g to %g, and 0 means 1/sqrt(head_dim)",
           static_cast<double>(desc.scale), -static_cast<double>(kMaxScale),
           static_cast<double>(kMaxScale));
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

}  // namespace flashdec
