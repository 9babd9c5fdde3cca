// The values that flow through the library once the caller's structs have been validated.
// All of them are plain data: Problem, Choice and Schedule are stored in the caller's plan.
#pragma once

#include <cstdint>

#include "core/inline.h"
#include "flashdec.h"

namespace flashdec {

using Dtype = uint32_t;  // a flashdec_dtype

constexpr int64_t kMaxExtent = INT32_MAX;  // of every size in a descriptor

static inline int64_t element_size(Dtype dtype) {
  return dtype == FLASHDEC_FLOAT32 ? 4 : 2;
}

static inline const char* dtype_name(Dtype dtype) {
  switch (dtype) {
    case FLASHDEC_FLOAT32:
      return "float32";
    case FLASHDEC_FLOAT16:
      return "float16";
    case FLASHDEC_BFLOAT16:
      return "bfloat16";
    default:
      return "unknown";
  }
}

FLASHDEC_INLINE int64_t ceil_div(int64_t a, int64_t b) {
  return (a + b - 1) / b;
}
FLASHDEC_INLINE int64_t round_up(int64_t a, int64_t b) {
  return ceil_div(a, b) * b;
}

// A descriptor after validation, every default resolved.
struct Problem {
  int64_t batch;
  int64_t q_heads;
  int64_t kv_heads;
  int64_t group;  // query heads that share a key/value head
  int64_t max_kv_len;
  int64_t head_dim;
  int64_t head_dim_v;
  int64_t page_size;  // 0: not paged
  int64_t num_pages;
  float scale;
  Dtype element;      // of q and o
  Dtype aux_element;  // of k and v
  uint32_t alignment;

  bool paged() const { return page_size != 0; }
  int64_t table_width() const { return paged() ? ceil_div(max_kv_len, page_size) : 0; }
};

// A preference after validation.
struct Choice {
  int64_t max_workspace_bytes;  // -1: no limit
  int64_t split_len;            // 0: the schedule's
  uint32_t backend;             // a flashdec_backend
  uint32_t num_threads;         // 0: decided by the machine
  bool batch_invariant;
  bool allow_sm90a;
};

struct Strides {
  int64_t batch;  // or page
  int64_t token;
  int64_t head;
};

// Args after validation.
struct Operands {
  const void* q;
  const void* k;
  const void* v;
  void* o;
  float* lse;                 // or null
  const int32_t* kv_len;      // or null: uniform_kv_len
  const int32_t* page_table;  // or null: not paged
  uint32_t* status;           // or null
  Strides q_strides;
  Strides k_strides;
  Strides v_strides;
  Strides o_strides;
  int64_t lse_stride_batch;
  int64_t lse_stride_head;
  int64_t page_table_stride;
  int64_t uniform_kv_len;
  bool prepared_workspace;  // FLASHDEC_ARGS_PREPARED_WORKSPACE
  bool lse_base2;           // FLASHDEC_ARGS_BASE2
};

}  // namespace flashdec
