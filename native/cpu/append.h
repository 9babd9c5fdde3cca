// Appends new tokens on the library's threads.
#pragma once

#include "core/append.h"

namespace flashdec::cpu {

void append(const Append& args);

}  // namespace flashdec::cpu
