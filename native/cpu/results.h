// Where the sums of a split go: into the output, if it is the only one of its sequence; to those of
// the splits before, if the item has them all; or else into the workspace.
#pragma once

#include "cpu/combining.h"
#include "cpu/rows.h"
#include "cpu/share.h"
#include "cpu/weighing.h"

namespace flashdec::cpu {
namespace {

template <class V, class E>
class Results {
 public:
  using S = State<V, E>;

  // Of head i of the share.  Where there is a NaN all are, since signs of NaN are nobody's.
  static void store_split(S& state, const Share& share, int64_t i, int64_t split) {
    const bool poisoned = state.l[i].value != state.l[i].value;
    const SoftmaxState sum = poisoned ? poisoned_state() : state.sum(i);
    const F nan = V::broadcast(NAN);
    const auto chunk_at = [&](int64_t d) {
      const Columns chunk = Weighing<V, E>::take(state, i, d);
      return poisoned ? Columns{nan, nan} : chunk;
    };
    if (!share.item.whole) return store_part(share, i, split, sum, chunk_at);
    if (adds_up(share.item)) return add_to_row(state, share, i, sum, chunk_at);
    store_output(share, i, sum, chunk_at);
  }

  // After the last split.
  static void finish(const S& state, const Share& share) {
    if (!adds_up(share.item)) return;
    for (int64_t i = 0; i < share.heads(); ++i)
      Combining<V, E>::finish(share.launch, share.item.sequence, share.query_head(i), state.rows[i],
                              row_so_far(share, i));
  }

 private:
  using F = typename V::F;
  using Columns = Chunk<V, E>;

  template <class ChunkAt>
  static void store_part(const Share& share, int64_t i, int64_t split, SoftmaxState sum,
                         ChunkAt chunk_at) {
    const Launch& launch = share.launch;
    const int64_t dim_v = launch.plan.problem.head_dim_v;
    const int64_t part = part_index(launch, share.item.sequence, share.query_head(i), split);
    float* const row = launch.workspace.values + part * dim_v;
    launch.workspace.states[part] = sum;
    for (int64_t d = 0; d < dim_v; d += Columns::kLength)
      chunk_at(d).store_at(row, d, dim_v);
  }

  template <class ChunkAt>
  static void add_to_row(S& state, const Share& share, int64_t i, SoftmaxState sum,
                         ChunkAt chunk_at) {
    Combining<V, E>::add(state.rows[i], sum, share.launch.plan.problem.head_dim_v,
                         row_so_far(share, i), row_so_far(share, share.heads() + i),
                         [&](int64_t d) { return chunk_at(d).in_order(); });
  }

  // The sums of the splits before lie where the workspace has parts of the item's heads, a row for
  // each head and then the rows of their errors: side by side, since rows a page of memory apart
  // would share few sets of the first cache.
  static float* row_so_far(const Share& share, int64_t row) {
    const Launch& launch = share.launch;
    const int64_t part = part_index(launch, share.item.sequence, share.query_head(0), 0);
    return launch.workspace.values + (part + row) * launch.plan.problem.head_dim_v;
  }

  template <class ChunkAt>
  static void store_output(const Share& share, int64_t i, SoftmaxState sum, ChunkAt chunk_at) {
    const Launch& launch = share.launch;
    const int64_t dim_v = launch.plan.problem.head_dim_v, head = share.query_head(i);
    E* const row = static_cast<E*>(output_row(launch, share.item.sequence, head));
    const F l = V::broadcast(sum.l);
    for (int64_t d = 0; d < dim_v; d += Columns::kLength) {
      const Columns chunk = chunk_at(d);
      Columns{V::div(chunk.a, l), V::div(chunk.b, l)}.store_at(row, d, dim_v);
    }
    store_lse(launch, share.item.sequence, head, sum);
  }
};

}  // namespace
}  // namespace flashdec::cpu
