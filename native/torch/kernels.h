// What each operator computes; schemas stand in include/flashdec_torch.h.
#pragma once

#include "torch/stack.h"

namespace flashdec::torch {

void decode(Arguments& given, Results& results);
void decode_lse(Arguments& given, Results& results);
void append(Arguments& given, Results& results);
void append_rotary(Arguments& given, Results& results);
void merge(Arguments& given, Results& results);

}  // namespace flashdec::torch
