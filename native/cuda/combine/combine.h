// The second launch of a run: folds the partial results of every row, in an order fixed by the
// plan.
#pragma once

#include <cstdint>

#include "core/kernel.h"

namespace flashdec::cuda {

struct EvenParams;
struct TensorParams;

// Enqueues the combine of the simple kernel's splits on the launch's stream, in the current
// context.
void combine(const Launch& launch);

// The same for what a persistent grid left in its slots, by as many blocks and threads; `context`
// is the id of the current one.
void combine_any(const Launch& launch, const TensorParams& params, uint64_t context);

// The same where every length is the same and known to the host.
void combine_even(const Launch& launch, const EvenParams& params, uint64_t context);

}  // namespace flashdec::cuda
