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
#include "cuda/device/tensor_core.cuh"
#include "cuda/enqueue.h"
#include "cuda/launch.h"

namespace flashdec::cuda {
namespace {

constexpr int kThreads = 128;
constexpr int kThreadsLog = 7;
constexpr int kBlocks = 8;     // on a multiprocessor: their registers
constexpr int kVector = 4;     // columns of a lane, where rows are aligned for that
constexpr int kMostAhead = 8;  // parts that a lane asks for at once

struct MergeParams {
  Merge m;
  Divisor heads;
  int rows;
  int lanes_log;   // of a row: lanes with columns of their own,
  int slices_log;  // and so many times as many, each with some of the parts
};

template <class E, int kCount>
struct alignas(kCount * sizeof(E)) Pack {
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
template <class L, int kAhead>
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
  float top;
  float weights;
  float values[kCount];

  __device__ void clear() {
    top = -INFINITY;
    weights = 0.0f;
#pragma unroll
    for (int i = 0; i < kCount; ++i)
      values[i] = kNoValue;
  }

  __device__ void move(float to, float unit) {
    const float keep = exp2_fast(part_exponent(top, reference_score(to), unit));
    top = to;
    weights *= keep;
#pragma unroll
    for (int i = 0; i < kCount; ++i)
      values[i] *= keep;
  }

  template <class E>
  __device__ void add(const Pack<E, kCount>& part, float lse, float reference, float unit) {
    const bool empty = is_empty_part(lse);
    const float weight = exp2_fast(part_exponent(lse, reference, unit));
    weights += weight;
#pragma unroll
    for (int i = 0; i < kCount; ++i)
      values[i] = fmaf(weight, empty ? kNoValue : to_float(part.of[i]), values[i]);
  }

  // What another slice has of the same columns.
  __device__ void fold(const MergeSum& other, float unit) {
    const float to = fmaxf(top, other.top);
    move(to, unit);
    const float keep = exp2_fast(part_exponent(other.top, reference_score(to), unit));
    weights = fmaf(keep, other.weights, weights);
#pragma unroll
    for (int i = 0; i < kCount; ++i)
      values[i] = fmaf(keep, other.values[i], values[i]);
  }

  template <class E>
  __device__ void store(void* base, int64_t index) const {
    const float factor = weights == 0.0f ? 0.0f : 1.0f / weights;
    Pack<E, kCount> result;
#pragma unroll
    for (int i = 0; i < kCount; ++i)
      flashdec::cuda::store(result.of + i, weights == 0.0f ? 0.0f : values[i] * factor);
    *reinterpret_cast<Pack<E, kCount>*>(static_cast<E*>(base) + index) = result;
  }
};

// Of kCount columns from `column` on, over the parts of a slice: kAhead of every so many.
template <class E, int kCount, int kAhead>
__device__ inline MergeSum<kCount> merge_columns(const Merge& m, const RowPlace& row, int column,
                                                 int slice, int slices) {
  const float unit = log2_unit(m.base2);
  const int parts = static_cast<int>(m.parts);
  const E* source = static_cast<const E*>(m.part_o) + row.offset(m.part_o_strides) + column;
  source += slice * kAhead * m.part_o_strides.part;
  int64_t index = row.offset(m.part_lse_strides) + slice * kAhead * m.part_lse_strides.part;
  MergeSum<kCount> sum;
  sum.clear();
#pragma unroll 1
  for (int left = parts - slice * kAhead; left > 0; left -= slices * kAhead) {
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
    source += (slices - 1) * kAhead * m.part_o_strides.part;
    index += slices * kAhead * m.part_lse_strides.part;
    float top = sum.top;
#pragma unroll
    for (int i = 0; i < kAhead; ++i)
      top = fmaxf(top, lse[i]);  // drops a NaN, but its weight does not
    sum.move(top, unit);
    const float reference = reference_score(top);
#pragma unroll
    for (int i = 0; i < kAhead; ++i)
      sum.add(values[i], lse[i], reference, unit);
  }
  return sum;
}

// The first slice has what the others of its row have, too, in their order.  By whole blocks.
template <int kCount>
__device__ inline void gather(MergeSum<kCount>& sum, int lanes, int slice, int slices, float unit) {
  __shared__ MergeSum<kCount> sums[kThreads];
  sums[threadIdx.x] = sum;
  __syncthreads();
  if (slice == 0)
    for (int other = 1; other < slices; ++other)
      sum.fold(sums[static_cast<int>(threadIdx.x) + other * lanes], unit);
  __syncthreads();
}

template <class E, int kCount>
__device__ inline void store_columns(const Merge& m, const MergeSum<kCount>& sum, int64_t index) {
  if (m.element == FLASHDEC_FLOAT16) {
    sum.template store<__half>(m.o, index);
  } else if (m.element == FLASHDEC_BFLOAT16) {
    sum.template store<__nv_bfloat16>(m.o, index);
  } else {
    sum.template store<float>(m.o, index);
  }
}

template <class E, int kCount, int kAhead>
__global__ void __launch_bounds__(kThreads, kBlocks)
    merge_rows(const __grid_constant__ MergeParams p) {
  const Merge& m = p.m;
  const int thread = static_cast<int>(threadIdx.x);
  const int lanes = 1 << p.lanes_log, slices = 1 << p.slices_log;
  const int lane = thread & (lanes - 1);
  const int slice = thread >> p.lanes_log & (slices - 1);
  const int row_log = p.lanes_log + p.slices_log;
  const unsigned number = blockIdx.x * (kThreads >> row_log) + (threadIdx.x >> row_log);
  const bool any = number < static_cast<unsigned>(p.rows);
  const int index = any ? static_cast<int>(number) : 0;
  RowPlace row;
  row.sequence = p.heads.divide(index);
  row.head = index - row.sequence * static_cast<int>(p.heads.value);
  wait_for_previous();
  let_next_start();
  MergeSum<kCount> sum;
  sum.clear();
  for (int base = 0; base < m.head_dim; base += kCount * lanes) {
    const int column = base + kCount * lane;
    const bool there = any && column < m.head_dim;
    if (there) sum = merge_columns<E, kCount, kAhead>(m, row, column, slice, slices);
    if (slices > 1) gather(sum, lanes, slice, slices, log2_unit(m.base2));
    if (there && slice == 0) store_columns<E>(m, sum, row.offset(m.o_strides) + column);
  }
  __syncwarp();  // the row's lse may be where a part's was
  if (any && lane == 0 && slice == 0 && m.lse != nullptr)
    m.lse[row.offset(m.lse_strides)] = merged_lse(sum.top, sum.weights, m.base2);
}

// Elements of `size` bytes, for accesses of kVector at a time.
bool are_aligned(const void* base, const MergeStrides& strides, int64_t row, int64_t size) {
  const int64_t bytes = kVector * size;
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

bool takes_vectors(const Merge& m) {
  return are_aligned(m.part_o, m.part_o_strides, m.head_dim, element_size(m.part_element)) &&
         are_aligned(m.o, m.o_strides, m.head_dim, element_size(m.element));
}

template <class E, int kCount, int kAhead>
void enqueue_rows(const Merge& m, CUstream_st* stream) {
  MergeParams params = {};
  params.m = m;
  params.heads = make_divisor(m.heads);
  params.rows = static_cast<int>(m.rows());
  params.lanes_log = std::min(ceil_log2(static_cast<int>((m.head_dim + kCount - 1) / kCount)), 5);
  // By parts and head_dim alone, as if a lane had one column, so that a row has its bits in any
  // batch and at any alignment.
  const int most_lanes_log = std::min(ceil_log2(static_cast<int>(m.head_dim)), 5);
  params.slices_log = std::min(ceil_log2(static_cast<int>(ceil_div(m.parts, kAhead))),
                               kThreadsLog - most_lanes_log);
  const int64_t rows_of_block = kThreads >> (params.lanes_log + params.slices_log);
  void* arguments[] = {&params};
  static KernelSetup setup;
  enqueue(setup.start(reinterpret_cast<const void*>(merge_rows<E, kCount, kAhead>),
                      {ceil_div(m.rows(), rows_of_block), kThreads, 0, arguments}),
          stream);
}

template <class E, int kCount>
void enqueue_columns(const Merge& m, CUstream_st* stream) {
  if (m.parts <= 2) return enqueue_rows<E, kCount, 2>(m, stream);
  if (m.parts <= 4) return enqueue_rows<E, kCount, 4>(m, stream);
  enqueue_rows<E, kCount, kMostAhead>(m, stream);
}

template <class E>
void enqueue_merge(const Merge& m, CUstream_st* stream) {
  if (takes_vectors(m)) return enqueue_columns<E, kVector>(m, stream);
  enqueue_columns<E, 1>(m, stream);
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
