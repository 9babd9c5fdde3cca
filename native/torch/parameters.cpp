#include "torch/parameters.h"

#include <cstring>

#include "core/status.h"

namespace flashdec::torch {
namespace {

// " Tensor(a!) k_cache" and " bool bhsd=False": the last word before a default.
void* name_in(const char* begin, const char* end) {
  if (const void* const equals = std::memchr(begin, '=', static_cast<size_t>(end - begin)))
    end = static_cast<const char*>(equals);
  const char* name = end;
  while (name[-1] != ' ')
    --name;
  char text[32];
  const auto length = static_cast<size_t>(end - name);
  if (length >= sizeof(text))
    refuse(FLASHDEC_INTERNAL_ERROR, "a parameter has a name of %zu letters", length);
  std::memcpy(text, name, length);
  text[length] = 0;
  return interpreter().intern(text);
}

}  // namespace

Parameters::Parameters(const char* schema) {
  const char* const end = std::strstr(schema, ") ->");
  for (const char* at = std::strchr(schema, '(') + 1; at < end && count_ < kMaxParameters;) {
    const auto* stop =
        static_cast<const char*>(std::memchr(at, ',', static_cast<size_t>(end - at)));
    if (stop == nullptr) stop = end;
    names_[count_++] = name_in(at, stop);
    at = stop + 1;
  }
}

int Parameters::find(const void* name) const {
  for (int i = 0; i < count_; ++i)
    if (names_[i] == name) return i;
  return -1;
}

}  // namespace flashdec::torch
