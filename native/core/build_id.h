// What tells one build of the library from another: the linker's build id note.
#pragma once

#include <cstddef>
#include <cstdint>

namespace flashdec {

// Fills `size` bytes: the build id, then zeros.
void copy_build_id(uint8_t* target, size_t size);

}  // namespace flashdec
