#include "cpu/tile.h"

#include <algorithm>

#include "core/plan.h"

namespace flashdec::cpu {
namespace {

// Page ids are prefetched a line of memory ahead.
constexpr int64_t kIdsOfALine = 64 / sizeof(int32_t);

// Bytes from one key/value head's row to the next one's.
int64_t head_step(const Launch& launch, const Strides& strides) {
  return strides.head * element_size(launch.plan.problem.aux_element);
}

// Bytes from one token's row to the next one's.  Where the cache or a page has one token alone, the
// stride is never used and may be anything, too large to be counted in bytes as well.
int64_t token_step(const Launch& launch, const Strides& strides) {
  const Problem& problem = launch.plan.problem;
  const int64_t tokens = problem.paged() ? problem.page_size : problem.max_kv_len;
  return tokens > 1 ? strides.token * element_size(problem.aux_element) : 0;
}

const unsigned char* block_of(const Launch& launch, const void* cache, const Strides& strides,
                              int64_t block, int64_t kv_head) {
  const int64_t offset = block * strides.batch + kv_head * strides.head;
  return static_cast<const unsigned char*>(cache) +
         offset * element_size(launch.plan.problem.aux_element);
}

}  // namespace

bool find_tile(const Launch& launch, const WorkItem& item, int64_t begin, Tile* tile) {
  const Problem& problem = launch.plan.problem;
  const Operands& x = launch.operands;
  const int64_t k_step = token_step(launch, x.k_strides);
  const int64_t v_step = token_step(launch, x.v_strides);
  const int64_t page_size = problem.paged() ? problem.page_size : INT64_MAX;
  tile->count = static_cast<int>(std::min(item.end - begin, kTile));
  const int64_t size = element_size(problem.aux_element);
  tile->k_is_dense = k_step < 2 * problem.head_dim * size;
  tile->streams = !problem.paged() && tile->k_is_dense && v_step < 2 * problem.head_dim_v * size;
  tile->k_at = tile->v_at = 0;
  const bool several = item.kv_heads > 1;  // the stride of a single head may be anything
  tile->k_head = several ? head_step(launch, x.k_strides) : 0;
  tile->v_head = several ? head_step(launch, x.v_strides) : 0;
  tile->heads_stream = several && tile->k_head < 2 * problem.head_dim * size &&
                       tile->v_head < 2 * problem.head_dim_v * size &&
                       k_step < 2 * item.kv_heads * tile->k_head &&
                       v_step < 2 * item.kv_heads * tile->v_head;
  int64_t page = begin / page_size;
  int64_t slot = begin % page_size;
  for (int t = 0; t < tile->count; ++page, slot = 0) {
    int64_t block = item.sequence;
    if (problem.paged()) {
      const int32_t* const id = x.page_table + item.sequence * x.page_table_stride + page;
      __builtin_prefetch(id + kIdsOfALine);
      block = *id;
      if (block < 0 || block >= problem.num_pages) return false;
    }
    const unsigned char* k = block_of(launch, x.k, x.k_strides, block, item.kv_head);
    const unsigned char* v = block_of(launch, x.v, x.v_strides, block, item.kv_head);
    for (; t < tile->count && slot < page_size; ++t, ++slot) {
      tile->k[t] = k + slot * k_step;
      tile->v[t] = v + slot * v_step;
    }
  }
  std::fill(tile->k + tile->count, tile->k + kTile, tile->k[tile->count - 1]);
  std::fill(tile->v + tile->count, tile->v + kTile, tile->v[tile->count - 1]);
  return true;
}

void share_tile(const WorkItem& item, const Tile& next, int64_t index, Tile* share) {
  int64_t token = index * kTile / item.kv_heads;
  int64_t head = index * kTile % item.kv_heads;
  share->count = next.count;
  for (int i = 0; i < kTile; ++i) {
    const int t = kInTurn.of[i];
    share->k[t] = next.k[token] + head * next.k_head;
    share->v[t] = next.v[token] + head * next.v_head;
    const int64_t wraps = ++head == item.kv_heads;  // no branch, which would be mispredicted
    token += wraps;
    head &= wraps - 1;
  }
}

}  // namespace flashdec::cpu
