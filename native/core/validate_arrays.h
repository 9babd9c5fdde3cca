// Every rejection of an array that knows its own shape, dtype and device.
#pragma once

#include "core/array.h"
#include "core/plan.h"

namespace flashdec {

// The operands of a run; a null pointer is an absent one.
struct Arrays {
  const Array* of[FLASHDEC_OPERAND_COUNT];
};

const char* operand_name(int operand);

// Checks the arrays against the plan, then fills pointers and strides of `args`.
void bind_arrays(const Plan& plan, uint32_t axes, const Arrays& arrays, flashdec_args* args);

}  // namespace flashdec
