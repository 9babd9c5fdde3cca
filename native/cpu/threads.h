// Work on threads: the library's own small pool, or the caller's.
#pragma once

#include <cstdint>

#include "flashdec.h"

namespace flashdec::cpu {

// `after` is what the same thread will be given next; items or more: nothing.
using ItemFunction = void (*)(const void* context, int64_t index, int64_t after);

// Calls function(context, i, after) for every i in [0, items), on up to `threads` threads of which
// the caller is one, and returns when all are done.  If the pool is busy with another caller's
// work, or no thread can be made, the caller does everything.  Works in the child of a fork.
void parallel_for(uint32_t threads, int64_t items, ItemFunction function, const void* context);

// Lets parallel_for of the calling thread go through the caller's own threads; null: no more.
void use_threads(const flashdec_threads* threads);

}  // namespace flashdec::cpu
