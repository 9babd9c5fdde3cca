// FLASHDEC_CHECK=1: pointers, lengths, page ids and positions, with a synchronisation.
#pragma once

#include "core/append.h"
#include "core/kernel.h"

namespace flashdec::cuda {

// Nothing unless the plan, or the append, was made with the variable set.
void check_contents(const Launch& launch);
void check_contents(const Append& args, CUstream_st* stream);

}  // namespace flashdec::cuda
