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

// Bytes from one page to the next or, without pages, from one sequence to the next.  The stride of
// a single one may be anything, too.
int64_t page_step(const Launch& launch, const Strides& strides) {
  const Problem& problem = launch.plan.problem;
  const int64_t pages = problem.paged() ? problem.num_pages : problem.batch;
  return pages > 1 ? strides.batch * element_size(problem.aux_element) : 0;
}

TileShape shape_of(const Launch& launch, const WorkItem& item) {
  const Problem& problem = launch.plan.problem;
  const Operands& x = launch.operands;
  const int64_t k_step = token_step(launch, x.k_strides);
  const int64_t v_step = token_step(launch, x.v_strides);
  const int64_t size = element_size(problem.aux_element);
  const bool several = item.kv_heads > 1;  // the stride of a single head may be anything
  TileShape shape;
  shape.k_is_dense = k_step < 2 * problem.head_dim * size;
  shape.streams = !problem.paged() && shape.k_is_dense && v_step < 2 * problem.head_dim_v * size;
  shape.k_head = several ? head_step(launch, x.k_strides) : 0;
  shape.v_head = several ? head_step(launch, x.v_strides) : 0;
  shape.heads_stream = several && shape.k_head < 2 * problem.head_dim * size &&
                       shape.v_head < 2 * problem.head_dim_v * size &&
                       k_step < 2 * item.kv_heads * shape.k_head &&
                       v_step < 2 * item.kv_heads * shape.v_head;
  return shape;
}

}  // namespace

EvenRows::EvenRows(int64_t step) {
  for (uint64_t i = 0; i < kRun; ++i)
    from_first_[i] = i * static_cast<uint64_t>(step);
}

void EvenRows::find(const unsigned char* first, int64_t n, const unsigned char** rows) const {
  auto run = reinterpret_cast<uintptr_t>(first);  // what is no row may be at any address
  for (int64_t i = 0; i < n; i += kRun, run += kRun * from_first_[1])
    for (int64_t j = 0; j < kRun; ++j)
      rows[i + j] = reinterpret_cast<const unsigned char*>(run + from_first_[j]);
}

TileWalk::Side::Side(const Launch& launch, const WorkItem& item, const void* base,
                     const Strides& strides)
    : cache(static_cast<const unsigned char*>(base) +
            item.kv_head * strides.head * element_size(launch.plan.problem.aux_element)),
      page_step(cpu::page_step(launch, strides)),
      tokens(token_step(launch, strides)) {}

TileWalk::TileWalk(const Launch& launch, const WorkItem& item)
    : shape_(shape_of(launch, item)),
      k_(launch, item, launch.operands.k, launch.operands.k_strides),
      v_(launch, item, launch.operands.v, launch.operands.v_strides),
      page_ids_(nullptr),
      num_pages_(launch.plan.problem.num_pages),
      page_(item.sequence),
      page_size_(INT64_MAX),
      slot_(item.begin),
      left_(item.end - item.begin) {
  if (!launch.plan.problem.paged()) return;
  const Operands& x = launch.operands;
  page_size_ = launch.plan.problem.page_size;
  slot_ = item.begin % page_size_;
  page_ids_ = x.page_table + item.sequence * x.page_table_stride + item.begin / page_size_;
}

bool TileWalk::find_page() {
  __builtin_prefetch(page_ids_ + kIdsOfALine);
  page_ = *page_ids_;
  return page_ >= 0 && page_ < num_pages_;
}

bool TileWalk::next(Tile* tile) {
  static_cast<TileShape&>(*tile) = shape_;
  tile->count = static_cast<int>(std::min(left_, kTile));
  tile->k_at = tile->v_at = 0;
  tile->order = &kInTurn;
  left_ -= tile->count;
  for (int64_t t = 0; t < tile->count;) {
    if (page_ids_ != nullptr && !find_page()) return false;
    const int64_t n = std::min(tile->count - t, page_size_ - slot_);
    k_.find(page_, slot_, n, tile->k + t);
    v_.find(page_, slot_, n, tile->v + t);
    t += n;
    slot_ += n;
    if (slot_ == page_size_) {
      slot_ = 0;
      ++page_ids_;
    }
  }
  std::fill(tile->k + tile->count, tile->k + kTile, tile->k[tile->count - 1]);
  std::fill(tile->v + tile->count, tile->v + kTile, tile->v[tile->count - 1]);
  return true;
}

bool TileWalk::pass_follower() {
  if (page_ids_ != nullptr || left_ < kTile) return false;
  slot_ += kTile;
  left_ -= kTile;
  return true;
}

void share_tile(const WorkItem& item, const Tile& next, int64_t index, Tile* share) {
  const EvenRows k(next.k_head), v(next.v_head);
  int64_t token = index * kTile / item.kv_heads;
  int64_t head = index * kTile % item.kv_heads;
  share->count = next.count;
  share->order = &kInOrder;
  for (int64_t t = 0, n; t < kTile; t += n, ++token, head = 0) {
    n = std::min(item.kv_heads - head, kTile - t);
    k.find(next.k[token] + head * next.k_head, n, share->k + t);
    v.find(next.v[token] + head * next.v_head, n, share->v + t);
  }
}

}  // namespace flashdec::cpu
