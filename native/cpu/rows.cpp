#include "cpu/rows.h"

#include <algorithm>
#include <cmath>

#include "core/convert.h"
#include "core/plan.h"

namespace flashdec::cpu {
namespace {

template <class E>
void fill(void* row, int64_t count, float value) {
  E element;
  from_float(value, &element);
  std::fill_n(static_cast<E*>(row), count, element);
}

}  // namespace

const void* query_row(const Launch& launch, int64_t sequence, int64_t head) {
  const Strides& strides = launch.operands.q_strides;
  const int64_t offset = sequence * strides.batch + head * strides.head;
  return static_cast<const unsigned char*>(launch.operands.q) +
         offset * element_size(launch.plan.problem.element);
}

void* output_row(const Launch& launch, int64_t sequence, int64_t head) {
  const Strides& strides = launch.operands.o_strides;
  const int64_t offset = sequence * strides.batch + head * strides.head;
  return static_cast<unsigned char*>(launch.operands.o) +
         offset * element_size(launch.plan.problem.element);
}

void store_lse(const Launch& launch, int64_t sequence, int64_t head, SoftmaxState state) {
  const Operands& x = launch.operands;
  if (x.lse != nullptr)
    x.lse[sequence * x.lse_stride_batch + head * x.lse_stride_head] = state_lse(state, x.lse_base2);
}

int64_t part_index(const Launch& launch, int64_t sequence, int64_t head, int64_t split) {
  return (sequence * launch.plan.problem.q_heads + head) * launch.plan.schedule.max_splits + split;
}

void store_constant_row(const Launch& launch, int64_t sequence, int64_t head, float o,
                        SoftmaxState state) {
  void* row = output_row(launch, sequence, head);
  const int64_t count = launch.plan.problem.head_dim_v;
  switch (launch.plan.problem.element) {
    case FLASHDEC_FLOAT16:
      fill<F16>(row, count, o);
      break;
    case FLASHDEC_BFLOAT16:
      fill<Bf16>(row, count, o);
      break;
    default:
      fill<float>(row, count, o);
      break;
  }
  store_lse(launch, sequence, head, state);
}

void poison(const Launch& launch, const WorkItem& item) {
  report_fault(launch, FLASHDEC_FAULT_PAGE);
  const int64_t group = launch.plan.problem.group;
  const int64_t end = (item.kv_head + item.kv_heads) * group;
  for (int64_t head = item.kv_head * group; head < end; ++head) {
    if (item.whole) {
      store_constant_row(launch, item.sequence, head, NAN, poisoned_state());
      continue;
    }
    const int64_t first = part_index(launch, item.sequence, head, item.split);
    const int64_t count = launch.plan.problem.head_dim_v;
    std::fill_n(launch.workspace.states + first, splits_of(item), poisoned_state());
    std::fill_n(launch.workspace.values + first * count, splits_of(item) * count, NAN);
  }
}

void report_fault(const Launch& launch, uint32_t fault) {
  if (launch.operands.status != nullptr)
    __atomic_fetch_or(launch.operands.status, fault, __ATOMIC_RELAXED);
}

}  // namespace flashdec::cpu
