// Folds the partial results of every row, in split order.
#pragma once

#include "core/kernel.h"

namespace flashdec::cuda {

// Enqueues the combine on the launch's stream, in the current context.
void combine(const Launch& launch);

}  // namespace flashdec::cuda
