#include "core/device.h"

#include <sched.h>

#include <charconv>
#include <cstdlib>
#include <cstring>

#include "core/status.h"

#if FLASHDEC_X86
#include <cpuid.h>
#elif FLASHDEC_ARM64
#include <sys/auxv.h>
#endif

namespace flashdec {
namespace {

struct IsaName {
  Isa isa;
  const char* name;
};

// Those of this architecture alone: so the best one is the largest, and the others are refused.
constexpr IsaName kIsaNames[] = {
    {Isa::kReference, "reference"}, {Isa::kGeneric, "generic"},
#if FLASHDEC_X86
    {Isa::kAvx2, "avx2"},           {Isa::kAvx512, "avx512"},   {Isa::kAvx512Bf16, "avx512bf16"},
#elif FLASHDEC_ARM64
    {Isa::kNeon, "neon"},           {Isa::kNeonBf16, "neonbf16"},
#endif
};

#if FLASHDEC_X86
constexpr char kIsaList[] = "reference, generic, avx2, avx512 or avx512bf16";
#elif FLASHDEC_ARM64
constexpr char kIsaList[] = "reference, generic, neon or neonbf16";
#else
constexpr char kIsaList[] = "reference or generic";
#endif

#if FLASHDEC_X86
bool has(uint64_t word, uint64_t bits) {
  return (word & bits) == bits;
}

// XCR0: the registers that the operating system saves.
uint64_t saved_registers() {
  uint32_t low, high;
  __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return uint64_t{high} << 32 | low;
}

// Asks the processor itself: __builtin_cpu_supports says no to everything where the compiler comes
// with a run time that never looks (zig's, which builds the released wheels).
Isa best_x86() {
  constexpr uint64_t kYmm = 0x06, kZmm = 0xe6;
  constexpr uint64_t kAvx512Bf16 = 1 << 5;  // of eax, leaf 7, subleaf 1
  unsigned eax, ebx, ecx, edx;
  if (!__get_cpuid(1, &eax, &ebx, &ecx, &edx)) return Isa::kGeneric;
  if (!has(ecx, bit_OSXSAVE | bit_AVX | bit_FMA | bit_F16C)) return Isa::kGeneric;
  const uint64_t saved = saved_registers();
  if (!__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx)) return Isa::kGeneric;
  if (!has(saved, kYmm) || !has(ebx, bit_AVX2)) return Isa::kGeneric;
  const bool avx512 = has(ebx, bit_AVX512F | bit_AVX512BW | bit_AVX512VL | bit_AVX512DQ);
  if (!avx512 || !has(saved, kZmm)) return Isa::kAvx2;
  if (!__get_cpuid_count(7, 1, &eax, &ebx, &ecx, &edx)) return Isa::kAvx512;
  return has(eax, kAvx512Bf16) ? Isa::kAvx512Bf16 : Isa::kAvx512;
}
#endif

#if FLASHDEC_ARM64
// NEON itself needs no question: Linux runs on no aarch64 without it.
Isa best_arm64() {
  constexpr uint64_t kBf16 = 1 << 14;  // HWCAP2_BF16, which older headers lack
  return (getauxval(AT_HWCAP2) & kBf16) != 0 ? Isa::kNeonBf16 : Isa::kNeon;
}
#endif

Isa best_isa() {
#if FLASHDEC_X86
  return best_x86();
#elif FLASHDEC_ARM64
  return best_arm64();
#else
  return Isa::kGeneric;
#endif
}

Isa forced_isa(const char* wanted) {
  for (const IsaName& entry : kIsaNames) {
    if (std::strcmp(entry.name, wanted) != 0) continue;
    if (entry.isa > best_isa())
      refuse(FLASHDEC_UNSUPPORTED, "FLASHDEC_ISA is \"%s\"; this processor's best is \"%s\"",
             wanted, isa_name(best_isa()));
    return entry.isa;
  }
  refuse(FLASHDEC_INVALID_VALUE, "FLASHDEC_ISA is \"%s\"; it can be %s", wanted, kIsaList);
}

uint32_t processors_allowed() {
  cpu_set_t allowed;
  CPU_ZERO(&allowed);
  // Machines with more processors than a cpu_set_t holds make this fail: take its size then.
  if (sched_getaffinity(0, sizeof(allowed), &allowed) != 0) return CPU_SETSIZE;
  const int count = CPU_COUNT(&allowed);
  return count > 0 ? static_cast<uint32_t>(count) : 1;
}

uint32_t threads_from_environment(const char* text) {
  // Not strtol, which newer headers turn into a function that older systems lack.
  uint32_t value = 0;
  const char* end = text + std::strlen(text);
  const auto [rest, error] = std::from_chars(text, end, value);
  if (rest != end || error != std::errc() || value < 1 || value > kMaxThreads)
    refuse(FLASHDEC_INVALID_VALUE, "FLASHDEC_NUM_THREADS is \"%s\"; it must be 1 to %u", text,
           kMaxThreads);
  return value;
}

bool is_set(const char* text) {
  return text != nullptr && *text != '\0';
}

}  // namespace

const char* isa_name(Isa isa) {
  for (const IsaName& entry : kIsaNames)
    if (entry.isa == isa) return entry.name;
  return "unknown";
}

uint32_t cpu_threads() {
  const char* threads = std::getenv("FLASHDEC_NUM_THREADS");
  return is_set(threads) ? threads_from_environment(threads) : processors_allowed();
}

CpuDevice cpu_device() {
  const char* isa = std::getenv("FLASHDEC_ISA");
  CpuDevice device;
  device.forced = is_set(isa);
  device.isa = device.forced ? forced_isa(isa) : best_isa();
  device.num_threads = cpu_threads();
  return device;
}

}  // namespace flashdec
