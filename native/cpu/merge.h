// Merges partial results on the library's threads.
#pragma once

#include "core/merge.h"

namespace flashdec::cpu {

void merge(const Merge& args);

}  // namespace flashdec::cpu
