// What a launch is made of, kept from run to run: all that is worked out for it but addresses.
//
// Mostly addresses alone change from one run to the next, and the rest takes the host a third of a
// microsecond: some thirty divisions, and the descriptions of K and V for the tensor copies.
#pragma once

#include <cstring>

#include "core/kernel.h"
#include "core/plan.h"
#include "cuda/enqueue.h"
#include "cuda/tensor/params.h"

namespace flashdec::cuda {

// All that the rest depends on.  Without padding, because it is compared as memory.
struct ReadyFor {
  const KernelSetup* kernels;  // of a row of the kernel table; null: nothing is ready
  Problem problem;
  Schedule schedule;
  Strides q_strides;
  Strides k_strides;
  Strides v_strides;
  Strides o_strides;
  int64_t lse_stride_batch;
  int64_t lse_stride_head;
  int64_t page_table_stride;
  int64_t uniform_kv_len;
  uint32_t lengths_on_device;
  uint32_t prepared_workspace;

  ReadyFor() = default;
  ReadyFor(const Launch& launch, const KernelSetup* of)
      : kernels(of),
        problem(launch.plan.problem),
        schedule(launch.plan.schedule),
        q_strides(launch.operands.q_strides),
        k_strides(launch.operands.k_strides),
        v_strides(launch.operands.v_strides),
        o_strides(launch.operands.o_strides),
        lse_stride_batch(launch.operands.lse_stride_batch),
        lse_stride_head(launch.operands.lse_stride_head),
        page_table_stride(launch.operands.page_table_stride),
        uniform_kv_len(launch.operands.uniform_kv_len),
        lengths_on_device(launch.operands.kv_len != nullptr),
        prepared_workspace(launch.operands.prepared_workspace) {}

  bool operator==(const ReadyFor& other) const {
    return std::memcmp(this, &other, sizeof(*this)) == 0;
  }
};
static_assert(sizeof(ReadyFor) == sizeof(void*) + (9 * 8 + 4 * 4) + 8 * 8 + 4 * 3 * 8 + 4 * 8 + 8);

// Of the thread's last launch with this `Source`, which says where K and V are.
template <class Source>
struct Ready {
  ReadyFor made_for;
  const void* kernel;
  KernelSetup* setup;
  int64_t blocks;
  int smem;
  bool cut;       // units may be shared between blocks
  bool together;  // blocks that wait for each other have to be resident together
  bool even;      // the kernel takes EvenParams, with which `params` begins
  TensorParams params;
  Source source;
  const void* k;  // where `source` says
  const void* v;
};

template <class Source>
Ready<Source>& ready_of_thread() {
  static thread_local Ready<Source> ready = {};
  return ready;
}

}  // namespace flashdec::cuda
