// The host's side of the tensor-core split kernels.
#pragma once

#include "core/plan.h"
#include "cuda/combine/combine.h"
#include "cuda/enqueue.h"
#include "cuda/launch.h"
#include "cuda/tensor/kernels.cuh"
#include "cuda/tensor/launch_params.h"

namespace flashdec::cuda {

// Enqueues a split kernel: in one launch, if the blocks can be resident together; where they cannot
// (a part of the device only), parts are left for a second one, and nobody waits for others that
// have not begun.
template <class Params>
void enqueue_split(const Launch& launch, Start start, Params& params) {
  start.together = params.one_launch;
  if (enqueue(start, launch.stream)) return;
  params.one_launch = start.together = false;
  params.paced_from = kNeverPaced;
  enqueue(start, launch.stream);
}

// The kernels of launch_any.
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

template <class E, class Shape, class Copy, class Places>
void launch_any(const Launch& launch, bool cut, typename Copy::Source& source) {
  static KernelSetup setups[kAnyKernels];
  TensorParams params = make_tensor_params(launch, cut);
  void* arguments[] = {&params, &source};
  const bool one = Copy::kBoxes && is_one(launch, params);
  const Any kind = params.fixed               ? kFixed
                   : !one                     ? kLengths
                   : is_paced(launch, params) ? kOnePaced
                                              : kOne;
  enqueue_split(launch,
                setups[kind].start(any_kernel<E, Shape, Copy, Places>(kind),
                                   {launch.plan.schedule.grid, kThreads,
                                    Shape::kSmem + Shape::kFoldBytes, arguments}),
                params);
  if (cut && !params.one_launch) combine_any(launch, params);
}

template <class E, class Shape, class Copy>
const void* even_kernel(bool paced) {
  if constexpr (Copy::kBoxes)
    if (paced) return reinterpret_cast<const void*>(even_split<E, Shape, Copy, Pace<Shape, false>>);
  return reinterpret_cast<const void*>(even_split<E, Shape, Copy, NoPace>);
}

template <class E, class Shape, class Copy>
void launch_even(const Launch& launch, bool cut, typename Copy::Source& source) {
  static KernelSetup setups[2];
  EvenParams params = {};
  fill_even(launch, cut, params);
  void* arguments[] = {&params, &source};
  const bool paced = Copy::kBoxes && is_paced(launch, params);
  enqueue_split(
      launch,
      setups[paced].start(even_kernel<E, Shape, Copy>(paced),
                          {even_blocks(launch, params), kThreads, Shape::kSmem, arguments}),
      params);
  if (cut && !params.one_launch) combine_even(launch, params);
}

template <class E, class Shape, class Copy>
void launch_tensor(const Launch& launch, typename Copy::Source source) {
  const bool cut = may_cut(launch, Shape::kHeads);
  if (is_even(launch, cut, Shape::kHeads)) return launch_even<E, Shape, Copy>(launch, cut, source);
  if (launch.plan.problem.paged())
    return launch_any<E, Shape, Copy, Pages<Shape, Copy>>(launch, cut, source);
  launch_any<E, Shape, Copy, RowPlaces>(launch, cut, source);
}

}  // namespace flashdec::cuda
