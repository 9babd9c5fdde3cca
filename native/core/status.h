// A refusal: a status code and one sentence with the value, the limit and the reason.
#pragma once

#include <cstdint>

#include "flashdec.h"

namespace flashdec {

// Thrown inside the library and caught at the exception wall of api.cpp, nowhere else.
struct Refusal {
  int32_t code;
  char text[512];
};

[[noreturn]] void refuse(int32_t code, const char* format, ...)
    __attribute__((format(printf, 2, 3)));

Refusal refusal(int32_t code, const char* format, ...) __attribute__((format(printf, 2, 3)));

const char* status_string(int32_t code);

// This thread's latest refusal.
const char* last_error();
void set_last_error(const char* text);

}  // namespace flashdec
