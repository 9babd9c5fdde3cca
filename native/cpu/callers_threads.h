// Work on threads that the caller has of its own.
#pragma once

#include "cpu/threads.h"

namespace flashdec::cpu {

// False if the calling thread has named none.  Refuses, when it is too late to undo anything, if
// they have not done every item once.
bool on_callers_threads(uint32_t threads, int64_t items, ItemFunction function,
                        const void* context);

}  // namespace flashdec::cpu
