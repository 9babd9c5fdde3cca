#include "core/status.h"

#include <cstdarg>
#include <cstdio>
#include <cstring>

namespace flashdec {
namespace {

// A fixed buffer needs neither an allocation (there may be no memory left) nor a destructor (a
// thread may fail while it exits).
thread_local char error_text[sizeof(Refusal::text)] = "";

struct Name {
  int32_t code;
  const char* text;
};

constexpr Name kNames[] = {
    {FLASHDEC_SUCCESS, "FLASHDEC_SUCCESS"},
    {FLASHDEC_NULL_POINTER, "FLASHDEC_NULL_POINTER"},
    {FLASHDEC_INVALID_STRUCT_SIZE, "FLASHDEC_INVALID_STRUCT_SIZE"},
    {FLASHDEC_INVALID_FLAGS, "FLASHDEC_INVALID_FLAGS"},
    {FLASHDEC_INVALID_VALUE, "FLASHDEC_INVALID_VALUE"},
    {FLASHDEC_INVALID_STRIDE, "FLASHDEC_INVALID_STRIDE"},
    {FLASHDEC_MISALIGNED, "FLASHDEC_MISALIGNED"},
    {FLASHDEC_WORKSPACE_TOO_SMALL, "FLASHDEC_WORKSPACE_TOO_SMALL"},
    {FLASHDEC_INVALID_PLAN, "FLASHDEC_INVALID_PLAN"},
    {FLASHDEC_INVALID_KV_LEN, "FLASHDEC_INVALID_KV_LEN"},
    {FLASHDEC_INVALID_PAGE, "FLASHDEC_INVALID_PAGE"},
    {FLASHDEC_UNSUPPORTED, "FLASHDEC_UNSUPPORTED"},
    {FLASHDEC_PREFERENCE_UNMET, "FLASHDEC_PREFERENCE_UNMET"},
    {FLASHDEC_NO_DEVICE, "FLASHDEC_NO_DEVICE"},
    {FLASHDEC_WRONG_DEVICE, "FLASHDEC_WRONG_DEVICE"},
    {FLASHDEC_CUDA_ERROR, "FLASHDEC_CUDA_ERROR"},
    {FLASHDEC_OUT_OF_MEMORY, "FLASHDEC_OUT_OF_MEMORY"},
    {FLASHDEC_INTERNAL_ERROR, "FLASHDEC_INTERNAL_ERROR"},
};

Refusal format_refusal(int32_t code, const char* format, va_list arguments) {
  Refusal result;
  result.code = code;
  std::vsnprintf(result.text, sizeof(result.text), format, arguments);
  return result;
}

}  // namespace

Refusal refusal(int32_t code, const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  Refusal result = format_refusal(code, format, arguments);
  va_end(arguments);
  return result;
}

void refuse(int32_t code, const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  Refusal result = format_refusal(code, format, arguments);
  va_end(arguments);
  throw result;
}

const char* status_string(int32_t code) {
  for (const Name& name : kNames)
    if (name.code == code) return name.text;
  return "unknown status";
}

const char* last_error() {
  return error_text;
}

void set_last_error(const char* text) {
  std::strncpy(error_text, text, sizeof(error_text) - 1);
  error_text[sizeof(error_text) - 1] = '\0';
}

}  // namespace flashdec
