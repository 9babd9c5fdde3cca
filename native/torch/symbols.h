// Symbols of PyTorch's libraries, looked up in the process.
#pragma once

#include <dlfcn.h>

#include "core/status.h"

namespace flashdec::torch {

// Null where the process has not loaded it.
inline void* loaded(const char* library) {
  return dlopen(library, RTLD_LAZY | RTLD_NOLOAD);
}

template <class Symbol>
void find(void* library, Symbol& target, const char* name) {
  target = reinterpret_cast<Symbol>(dlsym(library, name));
  if (target == nullptr)
    refuse(FLASHDEC_UNSUPPORTED,
           "this PyTorch exports no %s; this build of flashdec knows PyTorch 2.10 to 2.14", name);
}

}  // namespace flashdec::torch
