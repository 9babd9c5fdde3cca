// Every rejection of an append's arrays, which know their own shape, dtype and device.
#pragma once

#include "core/array.h"

namespace flashdec {

// The operands of an append; a null pointer is an absent one.
struct AppendArrays {
  const Array* of[FLASHDEC_APPEND_OPERAND_COUNT];
};

const char* append_operand_name(int operand);

// Checks the arrays against each other, then fills all of `args` but flags, num_threads and
// uniform_kv_len.
void bind_append(uint32_t axes, const AppendArrays& arrays, flashdec_append_args* args);

}  // namespace flashdec
