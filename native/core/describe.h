// The descriptor that a decode's arrays give.
#pragma once

#include "core/validate_arrays.h"

namespace flashdec {

// From q, k, v, o and the page table, with the alignment that pointers and strides have.  Refuses
// what no descriptor says; bind_arrays compares the rest.
flashdec_descriptor describe(const Arrays& arrays, uint32_t axes, float scale);

}  // namespace flashdec
