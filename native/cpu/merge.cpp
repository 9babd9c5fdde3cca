#include "cpu/merge.h"

#include <algorithm>

#include "core/convert.h"
#include "core/device.h"
#include "core/merge_weights.h"
#include "core/split.h"
#include "cpu/threads.h"

namespace flashdec::cpu {
namespace {

constexpr int64_t kColumns = 256;             // at a time
constexpr int64_t kBytesOfItem = 256 * 1024;  // reading this much takes as long as waking a thread

struct Row {
  const Merge& m;
  int64_t sequence;
  int64_t head;

  int64_t offset(const MergeStrides& of, int64_t part) const {
    return part * of.part + sequence * of.batch + head * of.head;
  }
};

float load(Dtype element, const void* base, int64_t index) {
  switch (element) {
    case FLASHDEC_FLOAT16:
      return to_float(static_cast<const F16*>(base)[index]);
    case FLASHDEC_BFLOAT16:
      return to_float(static_cast<const Bf16*>(base)[index]);
    default:
      return static_cast<const float*>(base)[index];
  }
}

float lse_of(const Row& row, int64_t part) {
  return load(row.m.lse_element, row.m.part_lse, row.offset(row.m.part_lse_strides, part));
}

template <class E>
void add_values(const E* source, float weight, int64_t count, float* sums) {
  for (int64_t i = 0; i < count; ++i)
    sums[i] += weight * to_float(source[i]);
}

void add_part(const Row& row, int64_t part, int64_t column, int64_t count, float weight,
              float* sums) {
  const Merge& m = row.m;
  const int64_t at = row.offset(m.part_o_strides, part) + column;
  switch (m.part_element) {
    case FLASHDEC_FLOAT16:
      return add_values(static_cast<const F16*>(m.part_o) + at, weight, count, sums);
    case FLASHDEC_BFLOAT16:
      return add_values(static_cast<const Bf16*>(m.part_o) + at, weight, count, sums);
    default:
      return add_values(static_cast<const float*>(m.part_o) + at, weight, count, sums);
  }
}

template <class E>
void store_values(const float* sums, float sum, int64_t count, E* target) {
  for (int64_t i = 0; i < count; ++i)
    from_float(sum == 0.0f ? 0.0f : sums[i] / sum, target + i);
}

void store(const Row& row, int64_t column, int64_t count, const float* sums, float sum) {
  const Merge& m = row.m;
  const int64_t at = row.offset(m.o_strides, 0) + column;
  switch (m.element) {
    case FLASHDEC_FLOAT16:
      return store_values(sums, sum, count, static_cast<F16*>(m.o) + at);
    case FLASHDEC_BFLOAT16:
      return store_values(sums, sum, count, static_cast<Bf16*>(m.o) + at);
    default:
      return store_values(sums, sum, count, static_cast<float*>(m.o) + at);
  }
}

void merge_row(const Row& row) {
  const Merge& m = row.m;
  const float unit = log2_unit(m.base2);
  float top = -INFINITY;
  for (int64_t part = 0; part < m.parts; ++part)
    top = fmaxf(top, lse_of(row, part));  // drops a NaN, but its weight does not
  const float reference = reference_score(top);
  float sum = 0.0f;
  for (int64_t part = 0; part < m.parts; ++part)
    sum += exp2f(part_exponent(lse_of(row, part), reference, unit));
  // What is read of these columns is read before they are written: o may be a part.
  for (int64_t column = 0; column < m.head_dim; column += kColumns) {
    const int64_t count = std::min(kColumns, m.head_dim - column);
    float sums[kColumns];
    std::fill_n(sums, count, kNoValue);
    for (int64_t part = 0; part < m.parts; ++part) {
      const float lse = lse_of(row, part);
      if (!is_empty_part(lse))
        add_part(row, part, column, count, exp2f(part_exponent(lse, reference, unit)), sums);
    }
    store(row, column, count, sums, sum);
  }
  if (m.lse != nullptr) m.lse[row.offset(m.lse_strides, 0)] = merged_lse(top, sum, m.base2);
}

struct Job {
  const Merge& m;
  int64_t rows;  // of an item
};

void do_item(const void* context, int64_t index, int64_t) {
  const Job& job = *static_cast<const Job*>(context);
  const int64_t end = std::min((index + 1) * job.rows, job.m.rows());
  for (int64_t row = index * job.rows; row < end; ++row)
    merge_row({job.m, row / job.m.heads, row % job.m.heads});
}

}  // namespace

void merge(const Merge& args) {
  const int64_t bytes = args.parts * args.head_dim * element_size(args.part_element);
  const Job job = {args, std::max<int64_t>(1, kBytesOfItem / bytes)};
  const uint32_t threads = args.num_threads != 0 ? args.num_threads : cpu_threads();
  parallel_for(threads, ceil_div(args.rows(), job.rows), do_item, &job);
}

}  // namespace flashdec::cpu
