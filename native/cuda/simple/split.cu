// The simple split kernel: correct for everything a plan may describe, and the GPU's reference.
//
// A block is up to 4 query heads of one key/value head against one split of one sequence, and loops
// over such items.  Its 4 warps take the split's tokens in turn, each with its own (m, l, o): the
// lanes share a row's columns, lane i has i, i + 32, ...  At the end the warps are merged in order,
// into the outputs if the sequence has one split, else into the split's partial result.

#include "core/status.h"
#include "cuda/backend.h"
#include "cuda/combine/combine.h"
#include "cuda/contents.h"
#include "cuda/device/cache.cuh"
#include "cuda/device/output.cuh"
#include "cuda/launch.h"

namespace flashdec::cuda {
namespace {

constexpr int kWarps = 4;
constexpr int kThreads = 32 * kWarps;
constexpr int kHeads = kSimpleHeads;
constexpr int kMaxRow = 256;
constexpr int kColumns = kMaxRow / 32;  // of a lane
constexpr unsigned kAll = 0xffffffffu;

// One item of work.
struct Item {
  int64_t sequence;
  int64_t kv_head;
  int64_t first_head;
  int heads;
  int64_t split;
  int64_t begin;  // tokens
  int64_t end;
  bool whole;  // the only split of its sequence
};

// What a warp knows of the heads at hand.
struct WarpState {
  float m[kHeads];
  CompensatedSum l[kHeads];
  float q[kHeads][kColumns];  // scaled, so that scores are in units of log2
  CompensatedSum o[kHeads][kColumns];
};

struct Shared {
  SoftmaxState sum[kWarps][kHeads];
  float o[kWarps][kHeads][kMaxRow];
  bool bad_page;
};

static_assert(sizeof(Shared) <= kSimpleSmem, "the registry promises this much");

__device__ Item item_at(const Params& p, int64_t index) {
  const int64_t blocks = ceil_div(p.problem.group, kHeads);
  Item item;
  item.split = index % p.schedule.max_splits;
  int64_t unit = index / p.schedule.max_splits;
  const int64_t block = unit % blocks;
  unit /= blocks;
  item.kv_head = unit % p.problem.kv_heads;
  item.sequence = unit / p.problem.kv_heads;
  item.first_head = item.kv_head * p.problem.group + block * kHeads;
  const int64_t left = p.problem.group - block * kHeads;
  item.heads = static_cast<int>(left < kHeads ? left : kHeads);
  return item;
}

template <class E>
__device__ void load_queries(const Params& p, const Item& item, int lane, WarpState& warp) {
  const float factor = p.problem.scale * kLog2E;
#pragma unroll
  for (int h = 0; h < kHeads; ++h) {
    const E* q = static_cast<const E*>(p.x.q) + item.sequence * p.x.q_strides.batch +
                 (item.first_head + h) * p.x.q_strides.head;
    warp.m[h] = -INFINITY;
    warp.l[h] = {0.0f, 0.0f};
#pragma unroll
    for (int i = 0; i < kColumns; ++i) {
      const int d = lane + 32 * i;
      const bool live = h < item.heads && d < p.problem.head_dim;
      warp.q[h][i] = live ? to_float(q[d]) * factor : 0.0f;
      warp.o[h][i] = {0.0f, 0.0f};
    }
  }
}

template <class E>
__device__ void load_row(const E* row, int64_t count, int lane, float (&columns)[kColumns]) {
#pragma unroll
  for (int i = 0; i < kColumns; ++i) {
    const int d = lane + 32 * i;
    columns[i] = d < count ? to_float(row[d]) : 0.0f;
  }
}

__device__ void add_token(const float (&k)[kColumns], const float (&v)[kColumns], int heads,
                          WarpState& warp) {
#pragma unroll
  for (int h = 0; h < kHeads; ++h) {
    if (h >= heads) break;
    float score = 0.0f;
#pragma unroll
    for (int i = 0; i < kColumns; ++i)
      score = fmaf(warp.q[h][i], k[i], score);
#pragma unroll
    for (int lanes = 16; lanes > 0; lanes /= 2)
      score += __shfl_xor_sync(kAll, score, lanes);
    const float m = fmaxf(warp.m[h], score);
    const float keep = rescale_factor(warp.m[h], m);
    const float weight = exp2f(score - reference_score(m));
    warp.m[h] = m;
    warp.l[h] = add(scale(warp.l[h], keep), weight);
#pragma unroll
    for (int i = 0; i < kColumns; ++i)
      warp.o[h][i] = add(scale(warp.o[h][i], keep), weight * v[i]);
  }
}

// False if a token's page is outside the cache.
template <class E>
__device__ bool attend(const Params& p, const Item& item, int warp_index, int lane,
                       WarpState& warp) {
  for (int64_t token = item.begin + warp_index; token < item.end; token += kWarps) {
    const Place place = place_of(p, item.sequence, token);
    if (place.block == kBadPage) return false;
    float k[kColumns], v[kColumns];
    load_row(row_of<E>(p.x.k, p.x.k_strides, place, item.kv_head), p.problem.head_dim, lane, k);
    load_row(row_of<E>(p.x.v, p.x.v_strides, place, item.kv_head), p.problem.head_dim_v, lane, v);
    add_token(k, v, item.heads, warp);
  }
  return true;
}

__device__ void share(const Params& p, const WarpState& warp, int warp_index, int lane, int heads,
                      Shared& shared) {
#pragma unroll
  for (int h = 0; h < kHeads; ++h) {
    if (h >= heads) break;
    if (lane == 0) shared.sum[warp_index][h] = {warp.m[h], warp.l[h].value};
#pragma unroll
    for (int i = 0; i < kColumns; ++i)
      shared.o[warp_index][h][lane + 32 * i] = warp.o[h][i].value;
  }
}

// One column of one head over the warps, in their order.
__device__ float merge_column(const Shared& shared, int h, int d, SoftmaxState* state) {
  *state = shared.sum[0][h];
  float o = shared.o[0][h][d];
  for (int w = 1; w < kWarps; ++w) {
    float keep, add;
    *state = merge_states(*state, shared.sum[w][h], &keep, &add);
    o = o * keep + shared.o[w][h][d] * add;
  }
  return o;
}

template <class E>
__device__ void store_results(const Params& p, const Item& item, const Shared& shared) {
  const int64_t dim_v = p.problem.head_dim_v;
  for (int64_t i = threadIdx.x; i < item.heads * dim_v; i += kThreads) {
    const int h = static_cast<int>(i / dim_v);
    const int d = static_cast<int>(i - h * dim_v);
    SoftmaxState state;
    float o = merge_column(shared, h, d, &state);
    if (shared.bad_page) {
      state = poisoned_state();
      o = NAN;
    }
    const int64_t head = item.first_head + h;
    if (item.whole) {
      store(output_row<E>(p, item.sequence, head) + d, o / state.l);
      if (d == 0) store_lse(p, item.sequence, head, state);
    } else {
      const int64_t part = part_index(p, item.sequence, head, item.split);
      p.parts.values[part * dim_v + d] = o;
      if (d == 0) p.parts.states[part] = state;
    }
  }
}

// A sequence without tokens, or with an unusable length: its first split's item finishes it.
template <class E>
__device__ void store_without_attention(const Params& p, const Item& item, int64_t len) {
  if (item.split != 0) return;
  const bool bad = len == kBadLength;
  if (bad && threadIdx.x == 0) report_fault(p, FLASHDEC_FAULT_KV_LEN);
  const int64_t dim_v = p.problem.head_dim_v;
  for (int64_t i = threadIdx.x; i < item.heads * dim_v; i += kThreads) {
    const int64_t h = i / dim_v;
    const int64_t d = i - h * dim_v;
    const int64_t head = item.first_head + h;
    store(output_row<E>(p, item.sequence, head) + d, bad ? NAN : 0.0f);
    if (d == 0) store_lse(p, item.sequence, head, bad ? poisoned_state() : empty_state());
  }
}

template <class E>
__device__ void do_item(const Params& p, Item item, Shared& shared) {
  const int64_t len = length_of(p, item.sequence);
  if (len <= 0) return store_without_attention<E>(p, item, len);
  const int64_t length = split_length(p.schedule, len);
  item.begin = item.split * length;
  if (item.begin >= len) return;
  item.end = len - item.begin < length ? len : item.begin + length;
  item.whole = len <= length;

  const int lane = threadIdx.x % 32;
  const int warp_index = threadIdx.x / 32;
  WarpState warp;
  load_queries<E>(p, item, lane, warp);
  if (threadIdx.x == 0) shared.bad_page = false;
  __syncthreads();
  if (!attend<E>(p, item, warp_index, lane, warp) && lane == 0) {
    shared.bad_page = true;  // every writer writes the same
    report_fault(p, FLASHDEC_FAULT_PAGE);
  }
  share(p, warp, warp_index, lane, item.heads, shared);
  __syncthreads();
  store_results<E>(p, item, shared);
  __syncthreads();
}

template <class E>
__global__ void __launch_bounds__(kThreads)
    simple_split(const __grid_constant__ Params p, int64_t items) {
  __shared__ Shared shared;
  for (int64_t index = blockIdx.x; index < items; index += gridDim.x)
    do_item<E>(p, item_at(p, index), shared);
}

template <class E>
void run_simple(const Launch& launch) {
  const ContextGuard context(launch.stream, launch.plan.device);
  check_contents(launch);
  const Problem& problem = launch.plan.problem;
  int64_t items = problem.batch * problem.kv_heads * ceil_div(problem.group, kHeads) *
                  launch.plan.schedule.max_splits;
  Params params = make_params(launch);
  void* arguments[] = {&params, &items};
  check(cudaLaunchKernel(reinterpret_cast<const void*>(simple_split<E>), dim3(grid_for(items)),
                         dim3(kThreads), arguments, 0, launch.stream),
        "the launch of cuda_simple");
  if (launch.plan.schedule.max_splits > 1) combine(launch);
}

}  // namespace

void run_simple_bf16(const Launch& launch) {
  run_simple<__nv_bfloat16>(launch);
}
void run_simple_f16(const Launch& launch) {
  run_simple<__half>(launch);
}
void run_simple_f32(const Launch& launch) {
  run_simple<float>(launch);
}

}  // namespace flashdec::cuda
