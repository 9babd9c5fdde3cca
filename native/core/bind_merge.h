// Every rejection of a merge's arrays, which know their own shape, dtype and device.
#pragma once

#include "core/array.h"

namespace flashdec {

// The operands of a merge; a null pointer is an absent one.
struct MergeArrays {
  const Array* of[FLASHDEC_MERGE_OPERAND_COUNT];
};

// o and lse may each be one array of all parts, or a pair.
struct MergePairs {
  bool o;
  bool lse;
};

const char* merge_operand_name(int operand, const MergePairs& pairs);

// Checks the arrays against each other, then fills all of `args` but flags and num_threads.
void bind_merge(const MergeArrays& arrays, flashdec_merge_args* args);

}  // namespace flashdec
