// Folds the partial results of one row, in split order.
#pragma once

#include "cpu/backend.h"

namespace flashdec::cpu {

void combine_row(const Launch& launch, int64_t sequence, int64_t head, int64_t splits);

}  // namespace flashdec::cpu
