// What a refusal says of an array.
#pragma once

#include "core/array.h"

namespace flashdec {

struct ArrayText {
  char text[128];
};

// What the array's library calls its elements: "int64", "float64", ...
ArrayText type_name(const Array& array);

// "cpu", "cuda:1"
ArrayText device_text(const Array& array);

// "(2, 4096, 8, 128)"
ArrayText shape_text(const int64_t* shape, int32_t ndim);

}  // namespace flashdec
