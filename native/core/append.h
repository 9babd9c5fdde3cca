// An append of new tokens after validation, and what both backends find out about a sequence.
#pragma once

#include <cstdint>

#include "core/problem.h"
#include "flashdec_append.h"

namespace flashdec {

struct Append {
  Dtype element;
  Dtype rotary_element;
  bool interleaved;
  bool advance;
  bool check_contents;  // FLASHDEC_CHECK=1
  int32_t device;       // -1: the CPU
  uint32_t num_threads;
  int64_t batch;
  int64_t tokens;
  int64_t q_heads;  // 0: no queries
  int64_t kv_heads;
  int64_t head_dim;
  int64_t head_dim_v;
  int64_t max_kv_len;
  int64_t page_size;  // 0: not paged
  int64_t num_pages;
  int64_t rotary_dim;
  int64_t max_position;
  int64_t uniform_kv_len;
  const void* q;
  void* q_out;
  const void* k;
  const void* v;
  void* k_cache;
  void* v_cache;
  int32_t* kv_len;
  const int32_t* new_len;
  const int32_t* positions;
  const int32_t* page_table;
  const void* cos;
  const void* sin;
  uint32_t* status;
  Strides q_strides;
  Strides q_out_strides;
  Strides k_strides;
  Strides v_strides;
  Strides k_cache_strides;
  Strides v_cache_strides;
  int64_t page_table_stride;
  int64_t cos_stride;
  int64_t sin_stride;
};

// A sequence and its new tokens.
struct Growth {
  int64_t len;  // before
  int64_t count;
  int64_t position;  // of the first
  uint32_t fault;    // flashdec_fault bits, pages not looked at; if any is set nothing else counts
};

FLASHDEC_INLINE Growth growth_of(const Append& a, int64_t sequence) {
  Growth g;
  g.len = a.kv_len != nullptr ? a.kv_len[sequence] : a.uniform_kv_len;
  g.count = a.new_len != nullptr ? a.new_len[sequence] : a.tokens;
  g.position = a.positions != nullptr ? a.positions[sequence] : g.len;
  const bool fits =
      g.len >= 0 && g.count >= 0 && g.count <= a.tokens && g.len + g.count <= a.max_kv_len;
  const bool turns = a.rotary_dim == 0 || g.count == 0 ||
                     (g.position >= 0 && g.position + g.count <= a.max_position);
  g.fault = fits ? turns ? 0 : FLASHDEC_FAULT_POSITION : FLASHDEC_FAULT_KV_LEN;
  return g;
}

FLASHDEC_INLINE bool is_page(const Append& a, int64_t id) {
  return id >= 0 && id < a.num_pages;
}

Append validate(const flashdec_append_args& args);

// FLASHDEC_CHECK=1: refuses by name what growth_of and is_page find wrong.  Of host memory.
void validate_contents(const Append& args);

}  // namespace flashdec
