// What flashdec_append is given.

#include <algorithm>
#include <cstdint>

#include "core/append.h"
#include "core/checks.h"
#include "core/device.h"
#include "core/validate.h"

namespace flashdec {
namespace {

constexpr int64_t kMostHeads = 65536;
constexpr int64_t kMostHeadDim = 65536;
constexpr int64_t kMostElements = int64_t{1} << 26;  // of a token
constexpr uint32_t kFlags = FLASHDEC_APPEND_INTERLEAVED | FLASHDEC_APPEND_ADVANCE;

void check_sizes(const flashdec_append_args& a) {
  check_range("num_threads", a.num_threads, 0, kMaxThreads);
  check_range("batch", a.batch, 1, kMaxExtent);
  check_range("tokens", a.tokens, 1, kMaxExtent);
  check_range("batch * tokens", a.batch * a.tokens, 1, kMaxExtent);
  check_range("q_heads", a.q_heads, a.q != nullptr ? 1 : 0, a.q != nullptr ? kMostHeads : 0);
  check_range("kv_heads", a.kv_heads, 1, kMostHeads);
  check_range("head_dim", a.head_dim, 1, kMostHeadDim);
  check_range("head_dim_v", a.head_dim_v, 0, kMostHeadDim);
  const int64_t head_dim_v = a.head_dim_v != 0 ? a.head_dim_v : a.head_dim;
  check_range("(q_heads + kv_heads) * head_dim + kv_heads * head_dim_v",
              (a.q_heads + a.kv_heads) * a.head_dim + a.kv_heads * head_dim_v, 1, kMostElements);
  check_range("max_kv_len", a.max_kv_len, 1, kMaxExtent);
  check_range("page_size", a.page_size, 0, kMaxExtent);
  check_range("num_pages", a.num_pages, a.page_size != 0 ? 1 : 0,
              a.page_size != 0 ? kMaxExtent : 0);
}

// What the host knows of lengths and positions.
void check_room(const flashdec_append_args& a) {
  const int64_t len = a.uniform_kv_len;
  check_range("uniform_kv_len", len, 0, a.kv_len == nullptr ? a.max_kv_len : 0);
  if (a.new_len != nullptr) return;
  if (len + a.tokens > a.max_kv_len)
    refuse(FLASHDEC_INVALID_VALUE,
           "tokens is %lld and uniform_kv_len %lld; together they must be at most max_kv_len, %lld",
           ll(a.tokens), ll(len), ll(a.max_kv_len));
  const int64_t position = a.positions == nullptr ? len : 0;
  if (a.rotary_dim != 0 && position + a.tokens > a.max_position)
    refuse(FLASHDEC_INVALID_VALUE,
           "tokens is %lld and the first is at position %lld; together they must be at most "
           "max_position, %lld",
           ll(a.tokens), ll(position), ll(a.max_position));
}

void check_rotary(const flashdec_append_args& a) {
  check_range("rotary_dim", a.rotary_dim, 0, a.head_dim);
  if (a.rotary_dim % 2 != 0)
    refuse(FLASHDEC_INVALID_VALUE,
           "rotary_dim is %lld; it must be even, for elements turn in pairs", ll(a.rotary_dim));
  const bool turns = a.rotary_dim != 0;
  check_range("max_position", a.max_position, turns ? 1 : 0, turns ? kMaxExtent : 0);
  if (!turns && (a.cos != nullptr || a.sin != nullptr))
    refuse(FLASHDEC_INVALID_VALUE, "%s is given but rotary_dim is 0; it must be NULL then",
           a.cos != nullptr ? "cos" : "sin");
  if (!turns && a.positions != nullptr)
    refuse(FLASHDEC_INVALID_VALUE, "positions is given but rotary_dim is 0; it must be NULL then");
}

void check_words(const flashdec_append_args& a) {
  const struct {
    const char* name;
    const void* pointer;
  } words[] = {{"kv_len", a.kv_len},
               {"new_len", a.new_len},
               {"positions", a.positions},
               {"page_table", a.page_table},
               {"status", a.status}};
  for (const auto& each : words)
    if (each.pointer != nullptr) check_pointer(each.name, each.pointer, 4);
  if ((a.flags & FLASHDEC_APPEND_ADVANCE) != 0 && a.kv_len == nullptr)
    refuse(FLASHDEC_NULL_POINTER,
           "kv_len is NULL but FLASHDEC_APPEND_ADVANCE is set; it is what would grow");
  if (a.page_size == 0) {
    if (a.page_table != nullptr)
      refuse(FLASHDEC_INVALID_VALUE,
             "page_table is given but page_size is 0; it must be NULL without pages");
    return;
  }
  check_pointer("page_table", a.page_table, 4);
  const int64_t width = ceil_div(a.max_kv_len, a.page_size);
  if (a.batch > 1 && (a.page_table_stride < width || a.page_table_stride > INT64_MAX / 8 / a.batch))
    refuse(FLASHDEC_INVALID_STRIDE,
           "page_table_stride is %lld; it must be at least %lld, the pages of %lld tokens, and "
           "reach at most 2^60 elements",
           ll(a.page_table_stride), ll(width), ll(a.max_kv_len));
}

void check_queries(const flashdec_append_args& a, int64_t size) {
  if (a.q == nullptr) {
    if (a.q_out != nullptr)
      refuse(FLASHDEC_INVALID_VALUE, "q_out is given but q is NULL; it must be NULL then");
    return;
  }
  const Rows q = {"q",
                  a.q,
                  size,
                  {"batch", "token", "head"},
                  {a.batch, a.tokens, a.q_heads},
                  {a.q_stride_batch, a.q_stride_token, a.q_stride_head},
                  a.head_dim,
                  false};
  Rows q_out = q;
  q_out.name = "q_out";
  q_out.pointer = a.q_out;
  q_out.strides[0] = a.q_out_stride_batch;
  q_out.strides[1] = a.q_out_stride_token;
  q_out.strides[2] = a.q_out_stride_head;
  check_reach(q);
  check_reach(q_out);
  for (int axis = 0; axis < 3; ++axis)
    if (a.q == a.q_out && q.extents[axis] > 1 && q.strides[axis] != q_out.strides[axis])
      refuse(FLASHDEC_INVALID_STRIDE,
             "q_out is q, but q_out_stride_%s is %lld and q_stride_%s %lld; in place they must be "
             "the same",
             q.axes[axis], ll(q_out.strides[axis]), q.axes[axis], ll(q.strides[axis]));
  check_apart(q_out);
}

void check_table(const char* name, const void* pointer, int64_t stride, Dtype element,
                 const flashdec_append_args& a) {
  check_reach({name,
               pointer,
               element_size(element),
               {"", nullptr, nullptr},
               {a.max_position, 1, 1},
               {stride, 0, 0},
               a.rotary_dim / 2,
               false});
}

void check_arrays(const flashdec_append_args& a, const Append& x) {
  const int64_t size = element_size(x.element);
  const bool paged = a.page_size != 0;
  const int64_t blocks = paged ? a.num_pages : a.batch;
  const int64_t slots = paged ? a.page_size : a.max_kv_len;
  const char* outer = paged ? "page" : "batch";
  check_queries(a, size);
  const Rows rows[] = {
      {"k",
       a.k,
       size,
       {"batch", "token", "head"},
       {a.batch, a.tokens, a.kv_heads},
       {a.k_stride_batch, a.k_stride_token, a.k_stride_head},
       a.head_dim,
       false},
      {"v",
       a.v,
       size,
       {"batch", "token", "head"},
       {a.batch, a.tokens, a.kv_heads},
       {a.v_stride_batch, a.v_stride_token, a.v_stride_head},
       x.head_dim_v,
       false},
      {"k_cache",
       a.k_cache,
       size,
       {outer, "token", "head"},
       {blocks, slots, a.kv_heads},
       {a.k_cache_stride_batch, a.k_cache_stride_token, a.k_cache_stride_head},
       a.head_dim,
       false},
      {"v_cache",
       a.v_cache,
       size,
       {outer, "token", "head"},
       {blocks, slots, a.kv_heads},
       {a.v_cache_stride_batch, a.v_cache_stride_token, a.v_cache_stride_head},
       x.head_dim_v,
       false},
  };
  for (const Rows& each : rows)
    check_reach(each);
  check_apart(rows[2]);
  check_apart(rows[3]);
  if (a.rotary_dim == 0) return;
  check_table("cos", a.cos, a.cos_stride, x.rotary_element, a);
  check_table("sin", a.sin, a.sin_stride, x.rotary_element, a);
}

Append to_append(const flashdec_append_args& a) {
  Append x = {};
  x.element = a.dtype;
  x.rotary_element = a.rotary_dtype != 0 ? a.rotary_dtype : Dtype{FLASHDEC_FLOAT32};
  x.interleaved = (a.flags & FLASHDEC_APPEND_INTERLEAVED) != 0;
  x.advance = (a.flags & FLASHDEC_APPEND_ADVANCE) != 0;
  x.num_threads = a.num_threads;
  x.batch = a.batch;
  x.tokens = a.tokens;
  x.q_heads = a.q_heads;
  x.kv_heads = a.kv_heads;
  x.head_dim = a.head_dim;
  x.head_dim_v = a.head_dim_v != 0 ? a.head_dim_v : a.head_dim;
  x.max_kv_len = a.max_kv_len;
  x.page_size = a.page_size;
  x.num_pages = a.num_pages;
  x.rotary_dim = a.rotary_dim;
  x.max_position = a.max_position;
  x.uniform_kv_len = a.uniform_kv_len;
  x.q = a.q;
  x.q_out = a.q_out;
  x.k = a.k;
  x.v = a.v;
  x.k_cache = a.k_cache;
  x.v_cache = a.v_cache;
  x.kv_len = a.kv_len;
  x.new_len = a.new_len;
  x.positions = a.positions;
  x.page_table = a.page_table;
  x.cos = a.cos;
  x.sin = a.sin;
  x.status = a.status;
  x.q_strides = {a.q_stride_batch, a.q_stride_token, a.q_stride_head};
  x.q_out_strides = {a.q_out_stride_batch, a.q_out_stride_token, a.q_out_stride_head};
  x.k_strides = {a.k_stride_batch, a.k_stride_token, a.k_stride_head};
  x.v_strides = {a.v_stride_batch, a.v_stride_token, a.v_stride_head};
  x.k_cache_strides = {a.k_cache_stride_batch, a.k_cache_stride_token, a.k_cache_stride_head};
  x.v_cache_strides = {a.v_cache_stride_batch, a.v_cache_stride_token, a.v_cache_stride_head};
  x.page_table_stride = a.page_table_stride;
  x.cos_stride = a.cos_stride;
  x.sin_stride = a.sin_stride;
  return x;
}

void refuse_growth(const Append& a, int64_t b, const Growth& g) {
  const bool turns = a.rotary_dim != 0;
  const int64_t room = std::min(a.max_kv_len, turns ? a.max_position : a.max_kv_len);
  const int64_t most = std::min(a.tokens, room);
  if (g.count < 0 || g.count > most)
    refuse(FLASHDEC_INVALID_KV_LEN, "new_len[%lld] is %lld; it must be 0 to %lld", ll(b),
           ll(g.count), ll(most));
  if (g.fault == FLASHDEC_FAULT_POSITION)
    refuse(FLASHDEC_INVALID_VALUE,
           "%s[%lld] is %lld, a position; it must be 0 to %lld, for %lld new tokens and %lld rows "
           "of cos and sin",
           a.positions != nullptr ? "positions" : "kv_len", ll(b), ll(g.position),
           ll(a.max_position - g.count), ll(g.count), ll(a.max_position));
  refuse(FLASHDEC_INVALID_KV_LEN,
         "kv_len[%lld] is %lld; it must be 0 to %lld, for %lld new tokens and room for %lld", ll(b),
         ll(g.len), ll(a.max_kv_len - g.count), ll(g.count), ll(a.max_kv_len));
}

}  // namespace

Append validate(const flashdec_append_args& a) {
  check_flags("args->flags", a.flags, kFlags);
  check_flags("args->reserved", a.reserved, 0);
  const int32_t device = checked_device(a.backend, a.device);
  check_sizes(a);
  check_rotary(a);
  check_room(a);
  check_dtype("dtype", a.dtype);
  Append x = to_append(a);
  check_dtype("rotary_dtype", x.rotary_element);
  if (x.rotary_element != FLASHDEC_FLOAT32 && x.rotary_element != x.element)
    refuse(FLASHDEC_INVALID_VALUE, "rotary_dtype is %u (%s); it must be float32 or dtype, %s",
           x.rotary_element, dtype_name(x.rotary_element), dtype_name(x.element));
  check_words(a);
  check_arrays(a, x);
  x.device = device;
  x.check_contents = checks_contents();
  return x;
}

void validate_contents(const Append& a) {
  for (int64_t b = 0; b < a.batch; ++b) {
    const Growth g = growth_of(a, b);
    if (g.fault != 0) refuse_growth(a, b, g);
    if (a.page_size == 0 || g.count == 0) continue;
    const int32_t* row = a.page_table + b * a.page_table_stride;
    for (int64_t i = g.len / a.page_size; i <= (g.len + g.count - 1) / a.page_size; ++i)
      if (!is_page(a, row[i]))
        refuse(FLASHDEC_INVALID_PAGE,
               "page_table[%lld, %lld] is %d; it must be 0 to %lld, the last page", ll(b), ll(i),
               row[i], ll(a.num_pages - 1));
  }
}

}  // namespace flashdec
