// Rounding to nearest and no flushing of subnormals, whatever the calling thread has set: the bits
// must not depend on whose thread an item lands on.
#pragma once

#include <cfenv>

#if FLASHDEC_X86
#include <xmmintrin.h>
#endif

namespace flashdec::cpu {

class DefaultFloatMode {
 public:
#if FLASHDEC_X86
  DefaultFloatMode() : before_(_mm_getcsr()) { _mm_setcsr(kDefault); }
  ~DefaultFloatMode() { _mm_setcsr(before_); }
#else
  DefaultFloatMode() {
    std::fegetenv(&before_);
    std::fesetenv(FE_DFL_ENV);
  }
  ~DefaultFloatMode() { std::fesetenv(&before_); }
#endif
  DefaultFloatMode(const DefaultFloatMode&) = delete;
  DefaultFloatMode& operator=(const DefaultFloatMode&) = delete;

 private:
#if FLASHDEC_X86
  static constexpr unsigned kDefault = 0x1f80;  // MXCSR: every exception masked, nothing else set
  unsigned before_;
#else
  std::fenv_t before_;
#endif
};

}  // namespace flashdec::cpu
