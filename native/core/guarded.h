// The exception wall: no exception leaves the library; whatever is thrown becomes a status and a
// sentence.
#pragma once

#include <new>

#include "core/status.h"

namespace flashdec {

template <class Body>
int32_t guarded(Body body) noexcept {
  try {
    body();
    return FLASHDEC_SUCCESS;
  } catch (const Refusal& refusal) {
    set_last_error(refusal.text);
    return refusal.code;
  } catch (const std::bad_alloc&) {
    set_last_error("the host is out of memory");
    return FLASHDEC_OUT_OF_MEMORY;
  } catch (...) {
    set_last_error("an unexpected exception was thrown; please report this as a defect");
    return FLASHDEC_INTERNAL_ERROR;
  }
}

}  // namespace flashdec
