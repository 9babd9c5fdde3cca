// Rounding to nearest and no flushing of subnormals, whatever the calling thread has set: the bits
// must not depend on whose thread an item lands on.
#pragma once

#if FLASHDEC_X86
#include <xmmintrin.h>
#elif FLASHDEC_ARM64
#include <cstdint>
#else
#include <cfenv>
#endif

namespace flashdec::cpu {

class DefaultFloatMode {
 public:
#if FLASHDEC_X86
  DefaultFloatMode() : before_(_mm_getcsr()) { _mm_setcsr(kDefault); }
  ~DefaultFloatMode() { _mm_setcsr(before_); }
#elif FLASHDEC_ARM64
  // Not fesetenv, which leaves alone what C does not know: another float16 than IEEE's (AHP), other
  // sums of bfloat16 (EBF).
  DefaultFloatMode() {
    __asm__ volatile("mrs %0, fpcr" : "=r"(before_));
    __asm__ volatile("msr fpcr, xzr" ::: "memory");
  }
  ~DefaultFloatMode() { __asm__ volatile("msr fpcr, %0" ::"r"(before_) : "memory"); }
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
#elif FLASHDEC_ARM64
  uint64_t before_;
#else
  std::fenv_t before_;
#endif
};

}  // namespace flashdec::cpu
