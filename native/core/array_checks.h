// What the verbs beside decode check of an array; `name` is that of the argument.
#pragma once

#include "core/array.h"

namespace flashdec {

void check_ndim(const char* name, const Array& x, int32_t least, int32_t most);

// float32, float16 or bfloat16.
void check_float(const char* name, const Array& x);

// Every axis has an element.
void check_filled(const char* name, const Array& x);

// A stride of 1 along the last axis.
void check_packed(const char* name, const Array& x);

void check_writable(const char* name, const Array& x);

// A pointer.
void check_memory(const char* name, const Array& x);

// On the same device as another.
void check_beside(const char* name, const Array& x, const char* other_name, const Array& other);

void check_shape(const char* name, const Array& x, const int64_t* wanted, int32_t ndim);

// The number of the CUDA device that the array is on; -1: the CPU.
int32_t checked_cuda_device(const char* name, const Array& x);

}  // namespace flashdec
