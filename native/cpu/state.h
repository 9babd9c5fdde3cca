// What the CPU kernel keeps of the query heads of an item while it goes along a split.
#pragma once

#include "core/softmax_state.h"
#include "cpu/backend.h"
#include "cpu/chunk.h"

namespace flashdec::cpu {
namespace {

constexpr int64_t kMaxRow = 256;             // the largest head_dim
constexpr int64_t kWidest = 16;              // lanes of the widest vector, and scores at a time
constexpr int64_t kPitch = kTile + kWidest;  // from one row of p to the next

// Rows lie side by side, each of whole chunks, in the order of chunks; columns past their end are
// zero.
template <class V, class E>
struct State {
  using Query = typename Products<V, E>::Query;

  Query* q;
  float* o;
  float* error;  // of the sums in o: see CompensatedSum
  float* m;      // a score that none exceeds by much: see softening.h
  CompensatedSum* l;
  int64_t q_length;  // of a row
  int64_t o_length;
  // Of a block of heads: scores in units of log2, then probabilities.
  alignas(64) float p[kHeads * kPitch];

  Query* q_row(int64_t head) const { return q + head * q_length; }
  float* p_row(int h) { return p + h * kPitch; }
  float* o_row(int64_t head) const { return o + head * o_length; }
  float* error_row(int64_t head) const { return error + head * o_length; }
  SoftmaxState sum(int64_t head) const { return {m[head], l[head].value}; }
};

// The memory of a state of up to kMost heads.
template <class V, class E, int64_t kMost>
struct Storage {
  alignas(64) typename Products<V, E>::Query q[kMost * kMaxRow];
  alignas(64) float o[kMost * kMaxRow];
  alignas(64) float error[kMost * kMaxRow];
  float m[kMost];
  CompensatedSum l[kMost];
};

// Up to kHeads query heads of one key/value head.
struct Block {
  int64_t head;  // the first, of the item's
  int heads;
};

}  // namespace
}  // namespace flashdec::cpu
