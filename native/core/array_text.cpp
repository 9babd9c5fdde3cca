#include "core/array_text.h"

#include <cstdio>

namespace flashdec {

ArrayText type_name(const Array& array) {
  constexpr const char* kKinds[] = {"int", "uint", "float", "opaque", "bfloat", "complex", "bool"};
  constexpr uint32_t kCount = sizeof(kKinds) / sizeof(kKinds[0]);
  ArrayText name;
  std::snprintf(name.text, sizeof(name.text), "%s%u",
                array.type_code < kCount ? kKinds[array.type_code] : "unknown", array.type_bits);
  return name;
}

ArrayText device_text(const Array& array) {
  constexpr int32_t kCpu = 1, kPinned = 3;  // DLDeviceType
  ArrayText name;
  if (array.device_type == kCpu || array.device_type == kPinned) {
    std::snprintf(name.text, sizeof(name.text), "cpu");
  } else {
    std::snprintf(name.text, sizeof(name.text), "cuda:%d", array.device_id);
  }
  return name;
}

ArrayText shape_text(const int64_t* shape, int32_t ndim) {
  ArrayText result;
  size_t length = 0;
  const auto add = [&](const char* format, long long value) {
    const int written =
        std::snprintf(result.text + length, sizeof(result.text) - length, format, value);
    length += static_cast<size_t>(written);
    if (length >= sizeof(result.text)) length = sizeof(result.text) - 1;
  };
  add("(", 0);
  for (int32_t i = 0; i < ndim; ++i)
    add(i == 0 ? "%lld" : ", %lld", static_cast<long long>(shape[i]));
  add(ndim == 1 ? ",)" : ")", 0);
  return result;
}

}  // namespace flashdec
