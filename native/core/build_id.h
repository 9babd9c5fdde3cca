// What tells one build of the library from another: the linker's build id note.
#pragma once

#include <cstdint>

namespace flashdec {

// The beginning of the build id; zeros after a shorter one.
struct BuildId {
  uint8_t bytes[24];
};

const BuildId& build_id();

}  // namespace flashdec
