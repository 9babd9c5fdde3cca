// The second launch of a run: folds the partial results of every row, in an order fixed by the
// plan.
#pragma once

#include "core/kernel.h"

namespace flashdec::cuda {

constexpr int kReducers = 128;  // threads of a block that reduces

struct EvenParams;
struct TensorParams;

// Enqueues the combine of fixed splits on the launch's stream, in the current context.
void combine(const Launch& launch);

// The same for the parts that a persistent grid left in the slots of its blocks of `threads`
// threads.
void combine_parts(const Launch& launch, const TensorParams& params, int threads);

// The same for the nodes that a persistent grid left of fixed splits.
void combine_tree(const Launch& launch, const TensorParams& params);

// The same where every length is the same and known to the host.
void combine_even(const Launch& launch, const EvenParams& params, int threads);

}  // namespace flashdec::cuda
