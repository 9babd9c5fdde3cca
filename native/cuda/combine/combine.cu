// Folds the splits of the simple kernel: one block for each row (sequence, query head), in which
// some lanes share four columns and take the splits in turn, so the result does not depend on which
// split finished first.

#include <algorithm>

#include "core/plan.h"
#include "core/status.h"
#include "cuda/backend.h"
#include "cuda/combine/combine.h"
#include "cuda/combine/reduce.cuh"
#include "cuda/device/cache.cuh"
#include "cuda/device/dependency.cuh"
#include "cuda/device/divisor.h"
#include "cuda/device/output.cuh"
#include "cuda/enqueue.h"
#include "cuda/launch.h"

namespace flashdec::cuda {
namespace {

// Splits that a lane asks for at once.
constexpr int kAhead = 4;

constexpr int64_t kLeastThreads = 64;
constexpr int64_t kMostThreads = 512;

struct RowParams : Params {
  Divisor q_heads;
  Divisor split_len;  // value 0: decided by the length
  int quads;          // of a row
};

// Of four columns from `column` on; those beyond the row's end are 0.
struct RowQuad {
  int column;
  int dim;

  __device__ bool whole() const { return dim % 4 == 0; }

  __device__ float4 load(const float* row) const {
    if (whole()) return *reinterpret_cast<const float4*>(row + column);
    float o[4];
    for (int i = 0; i < 4; ++i)
      o[i] = column + i < dim ? row[column + i] : 0.0f;
    return {o[0], o[1], o[2], o[3]};
  }

  template <class E>
  __device__ void store(E* row, const Reduction& sum) const {
    const float o[4] = {sum.o[0].value, sum.o[1].value, sum.o[2].value, sum.o[3].value};
#pragma unroll
    for (int i = 0; i < 4; ++i)
      if (column + i < dim) flashdec::cuda::store(row + column + i, o[i] / sum.l.value);
  }
};

// Lane i of `lanes` adds the splits i, i + lanes, ...
__device__ inline void fold(const RowParams& p, Reduction& sum, const RowQuad& quad,
                            const SoftmaxState* states, float* values, int splits, int lane,
                            int lanes) {
  for (int split = lane; split < splits; split += kAhead * lanes) {
    SoftmaxState state[kAhead];
    float4 value[kAhead];
#pragma unroll
    for (int i = 0; i < kAhead; ++i) {
      const int at = split + i * lanes;
      state[i] = at < splits ? states[at] : empty_state();
      value[i] = {0.0f, 0.0f, 0.0f, 0.0f};
      if (at < splits) value[i] = quad.load(values + int64_t{at} * quad.dim);
    }
    float top = sum.m;
#pragma unroll
    for (int i = 0; i < kAhead; ++i)
      top = fmaxf(top, state[i].m);  // drops a NaN, but the factors do not
    sum.move(top);
#pragma unroll
    for (int i = 0; i < kAhead; ++i) {
      const int at = split + i * lanes;
      if (at >= splits) break;
      sum.add_part(state[i], value[i]);
    }
  }
}

__device__ inline int splits_of(const RowParams& p, int64_t len) {
  if (len <= 0) return 0;
  if (p.split_len.value == 0) return static_cast<int>(live_splits(p.schedule, len));
  return p.split_len.divide(static_cast<int>(len) - 1) + 1;
}

template <class E>
__global__ void __launch_bounds__(kMostThreads) combine_rows(const __grid_constant__ RowParams p) {
  const int row = static_cast<int>(blockIdx.x);
  const int sequence = p.q_heads.divide(row);
  const int head = row - sequence * static_cast<int>(p.q_heads.value);
  wait_for_previous();
  const int splits = splits_of(p, length_of(p, sequence));
  if (splits <= 1) return;  // the split kernel wrote the outputs itself
  // By what this sequence has alone: its bits must not depend on what the plan could have held.
  const int lanes_log = min(32 - __clz(splits - 1), 5);
  const int lanes = 1 << lanes_log;
  const int lane = static_cast<int>(threadIdx.x) & (lanes - 1);
  const int at_once = static_cast<int>(blockDim.x) >> lanes_log;
  const int64_t first = int64_t{row} * p.schedule.max_splits;
  SoftmaxState* states = p.parts.states + first;
  float* values = p.parts.values + first * p.problem.head_dim_v;
#pragma unroll 1
  for (int base = 0; base < p.quads; base += at_once) {  // whole warps go round together
    const int index = base + (static_cast<int>(threadIdx.x) >> lanes_log);
    const RowQuad quad = {4 * index, static_cast<int>(p.problem.head_dim_v)};
    Reduction sum;
    if (index < p.quads) fold(p, sum, quad, states, values, splits, lane, lanes);
    sum.gather(lanes);
    if (lane != 0 || index >= p.quads) continue;
    quad.store(output_row<E>(p, sequence, head), sum);
    if (index == 0) store_lse(p, sequence, head, {sum.m, sum.l.value});
  }
}

template <class E>
void enqueue(const Launch& launch) {
  const Problem& problem = launch.plan.problem;
  const Schedule& schedule = launch.plan.schedule;
  RowParams params = {};
  static_cast<Params&>(params) = make_params(launch);
  params.q_heads = make_divisor(problem.q_heads);
  if (schedule.split_len != 0) params.split_len = make_divisor(schedule.split_len);
  params.quads = static_cast<int>(ceil_div(problem.head_dim_v, 4));
  const int64_t lanes = std::min<int64_t>(schedule.max_splits, 32);
  const int64_t threads =
      std::clamp(round_up(params.quads * lanes, 32), kLeastThreads, kMostThreads);
  void* arguments[] = {&params};
  static KernelSetup setup;
  enqueue(setup.start(reinterpret_cast<const void*>(combine_rows<E>),
                      {problem.batch * problem.q_heads, static_cast<int>(threads), 0, arguments}),
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
