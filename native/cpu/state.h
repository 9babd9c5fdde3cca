// What the CPU kernel keeps of the query heads of an item while it goes along a split.
#pragma once

#include "core/softmax_state.h"
#include "cpu/backend.h"
#include "cpu/chunk.h"
#include "cpu/combining.h"
#include "cpu/turned.h"

namespace flashdec::cpu {
namespace {

constexpr int64_t kWidest = 16;              // lanes of the widest vector, and scores at a time
constexpr int64_t kReadBound = 2;            // query heads whose arithmetic takes less than reading
constexpr int64_t kFoldTiles = 8;            // whose sums are added up without compensation
constexpr int64_t kPitch = kTile + kWidest;  // from one row of p to the next

alignas(64) constexpr float kZeros[kMaxRow] = {};

// Rows lie side by side, each of whole chunks, in the order of chunks; columns past their end are
// zero.
template <class V, class E>
struct State {
  using Query = typename Products<V, E>::Query;

  Query* q;
  float* o;           // of the latest tiles, no more than kFoldTiles
  float* total;       // of those before
  float* error;       // of total: see CompensatedSum
  int folds;          // of o into total in this split: without one total is 0, until two error is
  float* tile;        // of this tile, where registers do not hold them: see streaming.h
  float* m;           // a score that none exceeds by much: see softening.h
  CompensatedSum* l;  // of all tiles but the latest
  float* lanes;       // of l, of the latest tiles
  float* p;           // scores in units of log2, then probabilities
  RowSum* rows;       // the splits before
  typename Turned<V, E>::Keys* keys;  // of the head at work; in weighing, what comes next
  int64_t q_length;                   // of a row
  int64_t o_length;

  Query* q_row(int64_t head) const { return q + head * q_length; }
  float* p_row(int h) { return p + h * kPitch; }
  float* o_row(int64_t head) const { return o + head * o_length; }
  float* total_row(int64_t head) const { return total + head * o_length; }
  float* error_row(int64_t head) const { return error + head * o_length; }
  // What counts before the next fold, zeros that nobody has stored among it.
  const float* total_before(int64_t head) const { return folds < 1 ? kZeros : total_row(head); }
  const float* error_before(int64_t head) const { return folds < 2 ? kZeros : error_row(head); }
  float* lanes_of(int64_t head) const { return lanes + head * V::kWidth; }
  SoftmaxState sum(int64_t head) const { return {m[head], l[head].value}; }
};

// The memory of a state of up to kMost heads, whose rows have up to kElements in all.  The order is
// the fastest of those tried: where sums and queries lie is worth a tenth to streaming.h.
template <class V, class E, int64_t kMost, int64_t kElements>
struct Storage {
  alignas(64) float o[kElements];
  alignas(64) float total[kElements];
  alignas(64) float error[kElements];
  alignas(64) float tile[kElements];
  float m[kMost];
  CompensatedSum l[kMost];
  alignas(64) float lanes[kMostHeads * V::kWidth];
  alignas(64) float p[kTile * kMostHeads];
  typename Turned<V, E>::Keys keys;
  alignas(64) typename Products<V, E>::Query q[Products<V, E>::kCopies * kElements];
  RowSum rows[kMost];
};

// Up to kHeads query heads of one key/value head.
struct Block {
  int64_t head;  // the first, of the item's
  int heads;
};

}  // namespace
}  // namespace flashdec::cpu
