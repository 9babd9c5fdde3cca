// Merges partial results: a few lanes for each row (sequence, head), each with columns of its own.
//
// It is over in a few microseconds, of which reading takes half: so a lane asks for the values of
// several parts, and for their lse, before it uses the first.

#include <algorithm>

#include "core/merge.h"
#include "core/merge_weights.h"
#include "cuda/backend.h"
#include "cuda/device/dependency.cuh"
#include "cuda/device/divisor.h"
#include "cuda/device/element.cuh"
#include "cuda/enqueue.h"
#include "cuda/launch.h"

namespace flashdec::cuda {
namespace {

constexpr int kThreads = 128;
constexpr int kAhead = 8;  // parts that a lane asks for at once
constexpr int kVectorBytes = 16;

struct MergeParams {
  Merge m;
  Divisor heads;
  int rows;
  int lanes_log;  // lanes of a row
};

template <class E, int kCount>
struct alignas(kCount * sizeof(E) < kVectorBytes ? kCount * sizeof(E) : kVectorBytes) Pack {
  E of[kCount];
};

struct RowPlace {
  int sequence;
  int head;

  __device__ int64_t offset(const MergeStrides& of) const {
    return sequence * of.batch + head * of.head;
  }
};

// The lse of kAhead parts, of which there are `count`; the others count as empty.
template <class L>
__device__ inline void load_lse(const void* base, int64_t index, int64_t stride, int count,
                                float (&lse)[kAhead]) {
  const L* source = static_cast<const L*>(base) + index;
#pragma unroll
  for (int i = 0; i < kAhead; ++i) {
    lse[i] = i < count ? to_float(*source) : -INFINITY;
    source += stride;
  }
}

// The sums over parts of a lane's columns.
template <int kCount>
struct MergeSum {
  float top = -INFINITY;
  float weights = 0.0f;
  float values[kCount];

  __device__ MergeSum() {
#pragma unroll
    for (int i = 0; i < kCount; ++i)
      values[i] = kNoValue;
  }

  __device__ void move(float to, float unit) {
    const float keep = part_weight(top, to, unit);
    top = to;
    weights *= keep;
#pragma unroll
    for (int i = 0; i < kCount; ++i)
      values[i] *= keep;
  }

  template <class E>
  __device__ void add(const Pack<E, kCount>& part, float lse, float unit) {
    if (is_empty_part(lse)) return;
    const float weight = part_weight(lse, top, unit);
    weights += weight;
#pragma unroll
    for (int i = 0; i < kCount; ++i)
      values[i] = fmaf(weight, to_float(part.of[i]), values[i]);
  }

  template <class E>
  __device__ void store(void* base, int64_t index) const {
    Pack<E, kCount> result;
#pragma unroll
    for (int i = 0; i < kCount; ++i)
      flashdec::cuda::store(result.of + i, merged_value(values[i], weights));
    *reinterpret_cast<Pack<E, kCount>*>(static_cast<E*>(base) + index) = result;
  }
};

// Of kCount columns from `column` on, over all parts, in their order.
template <class E, int kCount>
__device__ inline MergeSum<kCount> merge_columns(const Merge& m, const RowPlace& row, int column) {
  const float unit = log2_unit(m.base2);
  const int parts = static_cast<int>(m.parts);
  const E* source = static_cast<const E*>(m.part_o) + row.offset(m.part_o_strides) + column;
  int64_t index = row.offset(m.part_lse_strides);
  MergeSum<kCount> sum;
#pragma unroll 1
  for (int left = parts; left > 0; left -= kAhead) {
    Pack<E, kCount> values[kAhead];
#pragma unroll
    for (int i = 0; i < kAhead; ++i) {
      if (i < left) values[i] = *reinterpret_cast<const Pack<E, kCount>*>(source);
      source += m.part_o_strides.part;
    }
    float lse[kAhead];
    if (m.lse_element == FLASHDEC_FLOAT32) {
      load_lse<float>(m.part_lse, index, m.part_lse_strides.part, left, lse);
    } else if (m.lse_element == FLASHDEC_FLOAT16) {
      load_lse<__half>(m.part_lse, index, m.part_lse_strides.part, left, lse);
    } else {
      load_lse<__nv_bfloat16>(m.part_lse, index, m.part_lse_strides.part, left, lse);
    }
    index += kAhead * m.part_lse_strides.part;
    float top = sum.top;
#pragma unroll
    for (int i = 0; i < kAhead; ++i)
      top = fmaxf(top, lse[i]);  // drops a NaN, but its weight does not
    sum.move(top, unit);
#pragma unroll
    for (int i = 0; i < kAhead; ++i)
      sum.add(values[i], lse[i], unit);
  }
  return sum;
}

template <class E, int kCount>
__global__ void __launch_bounds__(kThreads) merge_rows(const __grid_constant__ MergeParams p) {
  const Merge& m = p.m;
  const int lanes = 1 << p.lanes_log;
  const int lane = static_cast<int>(threadIdx.x) & (lanes - 1);
  const int index = static_cast<int>(blockIdx.x) * (kThreads >> p.lanes_log) +
                    (static_cast<int>(threadIdx.x) >> p.lanes_log);
  RowPlace row;
  row.sequence = p.heads.divide(index);
  row.head = index - row.sequence * static_cast<int>(p.heads.value);
  wait_for_previous();
  MergeSum<kCount> sum;
  if (index < p.rows) {
    const int64_t target = row.offset(m.o_strides);
    for (int column = kCount * lane; column < m.head_dim; column += kCount * lanes) {
      sum = merge_columns<E, kCount>(m, row, column);
      if (m.element == FLASHDEC_FLOAT16) {
        sum.template store<__half>(m.o, target + column);
      } else if (m.element == FLASHDEC_BFLOAT16) {
        sum.template store<__nv_bfloat16>(m.o, target + column);
      } else {
        sum.template store<float>(m.o, target + column);
      }
    }
  }
  __syncwarp();  // the row's lse may be where a part's was
  if (index < p.rows && lane == 0 && m.lse != nullptr)
    m.lse[row.offset(m.lse_strides)] = merged_lse(sum.top, sum.weights, m.base2);
  let_next_start();
}

bool are_aligned(const void* base, const MergeStrides& strides, int64_t row, int64_t size,
                 int64_t bytes) {
  const auto bits = reinterpret_cast<uintptr_t>(base) |
                    static_cast<uintptr_t>((strides.part | strides.batch | strides.head) * size);
  return (bits & static_cast<uintptr_t>(bytes - 1)) == 0 && row * size % bytes == 0;
}

// A stride along an axis of one element is never used.
MergeStrides used(const Merge& m, MergeStrides strides) {
  if (m.parts == 1) strides.part = 0;
  if (m.batch == 1) strides.batch = 0;
  if (m.heads == 1) strides.head = 0;
  return strides;
}

bool takes_vectors(const Merge& m, int64_t count) {
  const int64_t size = element_size(m.element);
  return are_aligned(m.part_o, m.part_o_strides, m.head_dim, kVectorBytes / count, kVectorBytes) &&
         are_aligned(m.o, m.o_strides, m.head_dim, size,
                     std::min<int64_t>(kVectorBytes, count * size));
}

template <class E, int kCount>
void enqueue_rows(const Merge& m, CUstream_st* stream) {
  MergeParams params = {};
  params.m = m;
  params.heads = make_divisor(m.heads);
  params.rows = static_cast<int>(m.rows());
  params.lanes_log = std::min(ceil_log2(static_cast<int>((m.head_dim + kCount - 1) / kCount)), 5);
  const int64_t rows_of_block = kThreads >> params.lanes_log;
  void* arguments[] = {&params};
  static KernelSetup setup;
  enqueue(setup.start(reinterpret_cast<const void*>(merge_rows<E, kCount>),
                      {ceil_div(m.rows(), rows_of_block), kThreads, 0, arguments}),
          stream);
}

template <class E>
void enqueue_merge(const Merge& m, CUstream_st* stream) {
  constexpr int kVector = kVectorBytes / sizeof(E);
  if (takes_vectors(m, kVector)) return enqueue_rows<E, kVector>(m, stream);
  enqueue_rows<E, 1>(m, stream);
}

}  // namespace

void merge(const Merge& args, CUstream_st* stream) {
  require_device(args.device);
  Merge m = args;
  m.part_o_strides = used(m, m.part_o_strides);
  m.part_lse_strides = used(m, m.part_lse_strides);
  m.o_strides = used(m, m.o_strides);
  m.lse_strides = used(m, m.lse_strides);
  const ContextGuard context(stream, m.device);
  switch (m.part_element) {
    case FLASHDEC_FLOAT16:
      return enqueue_merge<__half>(m, stream);
    case FLASHDEC_BFLOAT16:
      return enqueue_merge<__nv_bfloat16>(m, stream);
    default:
      return enqueue_merge<float>(m, stream);
  }
}

}  // namespace flashdec::cuda
