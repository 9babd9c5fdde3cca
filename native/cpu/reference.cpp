// The readable specification of the CPU kernels: one token after the other, in plain C++.

#include <algorithm>
#include <cmath>

#include "core/convert.h"
#include "core/plan.h"
#include "cpu/combining.h"
#include "cpu/rows.h"
#include "cpu/tile.h"
#include "cpu/vector_generic.h"

namespace flashdec::cpu {
namespace {

// 16 sums side by side, as a vector kernel has them: one sum of 256 terms would round too often for
// the bound on scores that are large.
template <class E>
float scaled_score(const Problem& problem, const E* q, const E* k) {
  constexpr int kSums = 16;
  float sums[kSums] = {};
  for (int64_t d = 0; d < problem.head_dim; ++d)
    sums[d % kSums] += to_float(q[d]) * to_float(k[d]);
  for (int width = kSums / 2; width > 0; width /= 2)
    for (int i = 0; i < width; ++i)
      sums[i] += sums[i + width];
  return sums[0] * (problem.scale * kLog2E);
}

struct RunningState {
  float m = -INFINITY;
  CompensatedSum l = {};
  CompensatedSum o[kMaxRow] = {};
};

template <class E>
void add_token(const Problem& problem, float score, const E* v, RunningState& state) {
  const float m = fmaxf(state.m, score);
  const float keep = rescale_factor(state.m, m);
  const float p = exp2f(score - reference_score(m));
  state.m = m;
  state.l = add(scale(state.l, keep), p);
  for (int64_t d = 0; d < problem.head_dim_v; ++d)
    state.o[d] = add(scale(state.o[d], keep), p * to_float(v[d]));
}

template <class E>
void store(const Launch& launch, const WorkItem& item, int64_t head, const RunningState& running) {
  const int64_t count = launch.plan.problem.head_dim_v;
  const SoftmaxState state = {running.m, running.l.value};
  if (item.whole) {
    E* target = static_cast<E*>(output_row(launch, item.sequence, head));
    for (int64_t d = 0; d < count; ++d)
      from_float(running.o[d].value / state.l, target + d);
    store_lse(launch, item.sequence, head, state);
    return;
  }
  const int64_t part = part_index(launch, item.sequence, head, item.split);
  launch.workspace.states[part] = state;
  for (int64_t d = 0; d < count; ++d)
    launch.workspace.values[part * count + d] = running.o[d].value;
}

template <class E>
void attend_kv_head(const Launch& launch, const WorkItem& item) {
  const Problem& problem = launch.plan.problem;
  const int64_t first = item.kv_head * problem.group;
  for (int64_t head = first; head < first + problem.group; ++head) {
    const E* q = static_cast<const E*>(query_row(launch, item.sequence, head));
    RunningState state;
    TileWalk walk(launch, item);
    while (!walk.at_end()) {
      Tile tile;
      if (!walk.next(&tile)) return poison(launch, item);
      for (int t = 0; t < tile.count; ++t) {
        const float score = scaled_score(problem, q, reinterpret_cast<const E*>(tile.k[t]));
        add_token(problem, score, reinterpret_cast<const E*>(tile.v[t]), state);
      }
    }
    store<E>(launch, item, head, state);
  }
}

template <class E>
void attend(const Launch& launch, const WorkItem& item, const WorkItem*) {
  WorkItem one = item;
  one.kv_heads = 1;
  one.whole = item.whole && !adds_up(item);
  for (; one.begin < item.end; one.begin += item.split_length, ++one.split) {
    one.end = std::min(one.begin + item.split_length, item.end);
    for (one.kv_head = item.kv_head; one.kv_head < item.kv_head + item.kv_heads; ++one.kv_head)
      attend_kv_head<E>(launch, one);
  }
  if (!adds_up(item)) return;
  const int64_t group = launch.plan.problem.group;
  const int64_t end = (item.kv_head + item.kv_heads) * group;
  for (int64_t head = item.kv_head * group; head < end; ++head)
    Combining<Generic, E>::combine(launch, item.sequence, head, splits_of(item));
}

}  // namespace

void run_reference_bf16(const Launch& launch) {
  run(launch, {attend<Bf16>, Combining<Generic, Bf16>::combine});
}
void run_reference_f16(const Launch& launch) {
  run(launch, {attend<F16>, Combining<Generic, F16>::combine});
}
void run_reference_f32(const Launch& launch) {
  run(launch, {attend<float>, Combining<Generic, float>::combine});
}

}  // namespace flashdec::cpu
