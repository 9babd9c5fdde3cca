// The host's side of the tensor-core split kernels.
#pragma once

#include "core/plan.h"
#include "cuda/combine/combine.h"
#include "cuda/enqueue.h"
#include "cuda/launch.h"
#include "cuda/tensor/kernels.cuh"
#include "cuda/tensor/launch_params.h"
#include "cuda/tensor/ready.h"

namespace flashdec::cuda {

// The kernels of a row, beside those that are even.
enum Any { kLengths, kFixed, kOne, kOnePaced, kAnyKernels };

template <class E, class Shape, class Copy, class Places>
const void* any_kernel(Any kind) {
  if constexpr (Copy::kBoxes) {
    if (kind == kOne)
      return reinterpret_cast<const void*>(one_split<E, Shape, Copy, Places, NoPace>);
    if (kind == kOnePaced)
      return reinterpret_cast<const void*>(
          one_split<E, Shape, Copy, Places, Pace<Shape, Places::kPaged>>);
  }
  return kind == kFixed ? reinterpret_cast<const void*>(fixed_split<E, Shape, Copy, Places>)
                        : reinterpret_cast<const void*>(lengths_split<E, Shape, Copy, Places>);
}

template <class E, class Shape, class Copy>
const void* even_kernel(bool paced) {
  if constexpr (Copy::kBoxes)
    if (paced) return reinterpret_cast<const void*>(even_split<E, Shape, Copy, Pace<Shape, false>>);
  return reinterpret_cast<const void*>(even_split<E, Shape, Copy, NoPace>);
}

struct RowSetups {
  KernelSetup even[2];
  KernelSetup rows[kAnyKernels];
  KernelSetup pages[kAnyKernels];
};

template <class E, class Shape, class Copy>
void make_even(const Launch& launch, RowSetups& setups, Ready<typename Copy::Source>& ready) {
  ready.params = {};
  fill_even(launch, ready.cut, ready.params);
  const bool paced = Copy::kBoxes && is_paced(launch, ready.params);
  ready.kernel = even_kernel<E, Shape, Copy>(paced);
  ready.setup = &setups.even[paced];
  ready.blocks = even_blocks(launch, ready.params);
  ready.together = false;
  ready.smem = Shape::kSmem;
}

template <class E, class Shape, class Copy>
void make_any(const Launch& launch, RowSetups& setups, Ready<typename Copy::Source>& ready) {
  ready.params = make_tensor_params(launch, ready.cut);
  const bool one = Copy::kBoxes && is_one(launch, ready.params);
  const Any kind = ready.params.fixed               ? kFixed
                   : !one                           ? kLengths
                   : is_paced(launch, ready.params) ? kOnePaced
                                                    : kOne;
  const bool paged = launch.plan.problem.paged();
  ready.kernel = paged ? any_kernel<E, Shape, Copy, Pages<Shape, Copy>>(kind)
                       : any_kernel<E, Shape, Copy, RowPlaces>(kind);
  ready.setup = paged ? &setups.pages[kind] : &setups.rows[kind];
  ready.blocks = launch.plan.schedule.grid;
  ready.together = kind == kLengths;
  ready.smem = Shape::kSmem + Shape::kFoldBytes;
}

template <class E, class Shape, class Copy>
void make_ready(const Launch& launch, RowSetups& setups, const ReadyFor& made_for,
                Ready<typename Copy::Source>& ready) {
  ready.made_for.kernels = nullptr;  // if anything is refused below
  ready.source = Copy::Source::make(launch, {Shape::kTile, Shape::kPanels});
  ready.k = launch.operands.k;
  ready.v = launch.operands.v;
  ready.cut = may_cut(launch, Shape::kHeads);
  ready.even = is_even(launch, ready.cut, Shape::kHeads);
  if (ready.even) {
    make_even<E, Shape, Copy>(launch, setups, ready);
  } else {
    make_any<E, Shape, Copy>(launch, setups, ready);
  }
  ready.made_for = made_for;
}

// The addresses of this run.
template <class Source>
void aim(const Launch& launch, Ready<Source>& ready) {
  aim(launch, ready.params);
  const Operands& x = launch.operands;
  if (ready.k == x.k && ready.v == x.v) return;
  ready.k = nullptr;  // if one of them is refused
  ready.source.aim(x);
  ready.k = x.k;
  ready.v = x.v;
}

// Enqueues a split kernel: in one launch, if the stream has the whole device.  Where it has a part
// only, parts are left for a second one, and nobody waits for others that have not begun.
template <class Source>
void enqueue_split(const Launch& launch, Ready<Source>& ready) {
  TensorParams apart;
  TensorParams* params = &ready.params;
  void* arguments[] = {params, &ready.source};
  const uint64_t context = current_context_id();
  Start start =
      ready.setup->start(ready.kernel, {ready.blocks, kThreads, ready.smem, arguments}, context);
  start.waits = params->one_launch;
  start.together = params->one_launch && ready.together;
  if (!enqueue(start, launch.stream)) {
    apart = ready.params;
    apart.one_launch = start.waits = start.together = false;
    apart.paced_from = kNeverPaced;
    arguments[0] = params = &apart;
    enqueue(start, launch.stream);
  }
  if (!ready.cut || params->one_launch) return;
  if (ready.even) {
    combine_even(launch, *params, context);
  } else {
    combine_any(launch, *params, context);
  }
}

template <class E, class Shape, class Copy>
void launch_tensor(const Launch& launch) {
  static RowSetups setups;
  auto& ready = ready_of_thread<typename Copy::Source>();
  const ReadyFor needed(launch, setups.even);
  if (!(ready.made_for == needed)) make_ready<E, Shape, Copy>(launch, setups, needed, ready);
  aim(launch, ready);
  enqueue_split(launch, ready);
}

}  // namespace flashdec::cuda
