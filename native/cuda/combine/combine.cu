// Folds fixed splits: some lanes share four columns of a row (sequence, query head) and take the
// splits in turn, so the result does not depend on which split finished first.

#include "core/plan.h"
#include "core/status.h"
#include "cuda/backend.h"
#include "cuda/combine/combine.h"
#include "cuda/combine/reduce.cuh"
#include "cuda/device/cache.cuh"
#include "cuda/device/dependency.cuh"
#include "cuda/device/output.cuh"
#include "cuda/enqueue.h"
#include "cuda/launch.h"

namespace flashdec::cuda {
namespace {

// Lanes that share four columns of a row.  The same for any number of splits, because the bits of a
// sequence must not depend on what a plan could have held.
constexpr int kLanes = 8;

__device__ float4 load_quad(const float* row, int column, int64_t dim) {
  if (dim % 4 == 0) return *reinterpret_cast<const float4*>(row + column);
  float o[4];
  for (int i = 0; i < 4; ++i)
    o[i] = column + i < dim ? row[column + i] : 0.0f;
  return {o[0], o[1], o[2], o[3]};
}

// A quad whose first column is the row's first also stores the row's lse.
template <class E>
__device__ void store_quad(const Params& p, int64_t sequence, int64_t head, int column,
                           const Reduced& sum) {
  E* target = output_row<E>(p, sequence, head) + column;
  const float o[4] = {sum.o.x, sum.o.y, sum.o.z, sum.o.w};
#pragma unroll
  for (int i = 0; i < 4; ++i)
    if (column + i < p.problem.head_dim_v) store(target + i, o[i] / sum.state.l);
  if (column == 0) store_lse(p, sequence, head, sum.state);
}

template <class E>
__global__ void __launch_bounds__(kReducers) combine_rows(const __grid_constant__ Params p) {
  const int64_t dim = p.problem.head_dim_v;
  const int64_t quads = ceil_div(dim, 4);
  const int64_t rows = p.problem.batch * p.problem.q_heads;
  const int64_t index = (int64_t{blockIdx.x} * kReducers + threadIdx.x) / kLanes;
  const int64_t row = index / quads < rows ? index / quads : rows - 1;
  const bool live = index / quads < rows;
  const int column = static_cast<int>(4 * (index % quads));
  const int lane = threadIdx.x % kLanes;
  const int64_t sequence = row / p.problem.q_heads;
  const int64_t head = row - sequence * p.problem.q_heads;
  wait_for_previous();
  const int64_t len = length_of(p, sequence);
  const int64_t live_ones = len > 0 ? live_splits(p.schedule, len) : 0;
  const int64_t splits = live_ones > 1 ? live_ones : 0;  // one: its kernel wrote the outputs
  const int64_t first = part_index(p, sequence, head, 0);
  const SoftmaxState* states = p.parts.states + first;
  const float* values = p.parts.values + first * dim;
  Reduction reduction(static_cast<int>(splits), lane, kLanes, states);
#pragma unroll 4
  for (int64_t split = lane; split < splits; split += kLanes)
    reduction.add_part(states[split], load_quad(values + split * dim, column, dim));
  const Reduced sum = reduction.sum();
  if (splits == 0 || !live) return;
  if (lane == 0) store_quad<E>(p, sequence, head, column, sum);
}

template <class E>
void enqueue(const Launch& launch) {
  Params params = make_params(launch);
  void* arguments[] = {&params};
  const Problem& problem = launch.plan.problem;
  const int64_t quads = problem.batch * problem.q_heads * ceil_div(problem.head_dim_v, 4);
  const int64_t blocks = ceil_div(quads * kLanes, kReducers);
  static KernelSetup setup;
  enqueue(setup.start(reinterpret_cast<const void*>(combine_rows<E>),
                      {blocks, kReducers, 0, arguments}),
          launch.stream);
  if (launch.operands.prepared_workspace)
    prepare_workspace(launch.workspace.base, static_cast<uint64_t>(launch.plan.workspace_bytes),
                      launch.plan.device, launch.stream);
}

}  // namespace

void combine(const Launch& launch) {
  switch (launch.plan.problem.element) {
    case FLASHDEC_FLOAT16:
      return enqueue<__half>(launch);
    case FLASHDEC_BFLOAT16:
      return enqueue<__nv_bfloat16>(launch);
    default:
      return enqueue<float>(launch);
  }
}

}  // namespace flashdec::cuda
