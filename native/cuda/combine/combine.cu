// One block per row (sequence, query head); each thread owns columns and walks the splits in order,
// so the result does not depend on which split finished first.

#include "core/status.h"
#include "cuda/combine/combine.h"
#include "cuda/device/cache.cuh"
#include "cuda/device/output.cuh"
#include "cuda/launch.h"

namespace flashdec::cuda {
namespace {

constexpr int kThreads = 128;
constexpr int kColumns = 2;  // of a thread: rows have up to 256

template <class E>
__global__ void __launch_bounds__(kThreads) combine_rows(const __grid_constant__ Params p) {
  const int64_t row = blockIdx.x;
  const int64_t sequence = row / p.problem.q_heads;
  const int64_t head = row - sequence * p.problem.q_heads;
  const int64_t len = length_of(p, sequence);
  const int64_t splits = len > 0 ? live_splits(p.schedule, len) : 0;
  if (splits <= 1) return;  // the split kernel wrote the outputs itself

  const int64_t dim_v = p.problem.head_dim_v;
  const int64_t first = part_index(p, sequence, head, 0);
  const SoftmaxState* states = p.parts.states + first;
  const float* values = p.parts.values + first * dim_v;
  float m = states[0].m;
#pragma unroll 4
  for (int64_t split = 1; split < splits; ++split)
    m = fmaxf(m, states[split].m);  // drops a NaN, but the factors do not
  CompensatedSum l = {0.0f, 0.0f};
  CompensatedSum o[kColumns] = {};
#pragma unroll 4
  for (int64_t split = 0; split < splits; ++split) {
    const float factor = rescale_factor(states[split].m, m);
    l = add(l, states[split].l * factor);
    for (int i = 0; i < kColumns; ++i) {
      const int64_t d = threadIdx.x + i * kThreads;
      if (d < dim_v) o[i] = add(o[i], values[split * dim_v + d] * factor);
    }
  }
  const SoftmaxState state = {m, l.value};
  E* target = output_row<E>(p, sequence, head);
  for (int i = 0; i < kColumns; ++i) {
    const int64_t d = threadIdx.x + i * kThreads;
    if (d < dim_v) store(target + d, o[i].value / state.l);
  }
  if (threadIdx.x == 0) store_lse(p, sequence, head, state);
}

template <class E>
void enqueue(const Launch& launch) {
  Params params = make_params(launch);
  void* arguments[] = {&params};
  const int64_t rows = launch.plan.problem.batch * launch.plan.problem.q_heads;
  check(cudaLaunchKernel(reinterpret_cast<const void*>(combine_rows<E>),
                         dim3(static_cast<unsigned>(rows)), dim3(kThreads), arguments, 0,
                         launch.stream),
        "the launch of the combine");
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
