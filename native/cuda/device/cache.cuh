// Where a sequence's tokens are in the cache, and how long it is.
#pragma once

#include "cuda/params.h"

namespace flashdec::cuda {

constexpr int64_t kBadLength = -1;
constexpr int64_t kBadPage = -1;

__device__ inline int64_t length_of(const Params& p, int64_t sequence) {
  if (p.x.kv_len == nullptr) return p.x.uniform_kv_len;
  const int64_t len = p.x.kv_len[sequence];
  return len >= 0 && len <= p.problem.max_kv_len ? len : kBadLength;
}

// The batch entry or page that holds a token, and the token's place in it.
struct Place {
  int64_t block;  // kBadPage: outside the cache
  int64_t slot;
};

__device__ inline Place place_of(const Params& p, int64_t sequence, int64_t token) {
  if (p.problem.page_size == 0) return {sequence, token};
  const int64_t page = token / p.problem.page_size;
  const int64_t id = p.x.page_table[sequence * p.x.page_table_stride + page];
  const bool good = id >= 0 && id < p.problem.num_pages;
  return {good ? id : kBadPage, token - page * p.problem.page_size};
}

template <class E>
__device__ inline const E* row_of(const void* cache, const Strides& strides, Place place,
                                  int64_t kv_head) {
  return static_cast<const E*>(cache) + place.block * strides.batch + place.slot * strides.token +
         kv_head * strides.head;
}

__device__ inline void report_fault(const Params& p, uint32_t fault) {
  if (p.x.status != nullptr) atomicOr(p.x.status, fault);
}

}  // namespace flashdec::cuda
