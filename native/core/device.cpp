#include "core/device.h"

#include <sched.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "core/status.h"

namespace flashdec {
namespace {

struct IsaName {
  Isa isa;
  const char* name;
};

constexpr IsaName kIsaNames[] = {
    {Isa::kReference, "reference"},
    {Isa::kGeneric, "generic"},
    {Isa::kAvx2, "avx2"},
    {Isa::kAvx512, "avx512"},
};

constexpr long kMaxThreads = 1024;

Isa best_isa() {
#if FLASHDEC_X86
  __builtin_cpu_init();
  // __builtin_cpu_supports also asks the operating system whether it saves the wide registers.
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
                    __builtin_cpu_supports("f16c");
  const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") &&
                      __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
                      __builtin_cpu_supports("avx512dq");
  if (avx512) return Isa::kAvx512;
  if (avx2) return Isa::kAvx2;
#endif
  return Isa::kGeneric;
}

Isa forced_isa(const char* wanted) {
  for (const IsaName& entry : kIsaNames) {
    if (std::strcmp(entry.name, wanted) != 0) continue;
    if (entry.isa > best_isa())
      refuse(FLASHDEC_UNSUPPORTED, "FLASHDEC_ISA is \"%s\"; this processor's best is \"%s\"",
             wanted, isa_name(best_isa()));
    return entry.isa;
  }
  refuse(FLASHDEC_INVALID_VALUE,
         "FLASHDEC_ISA is \"%s\"; it can be reference, generic, avx2 or avx512", wanted);
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
  errno = 0;
  char* end = nullptr;
  const long value = std::strtol(text, &end, 10);
  if (end == text || *end != '\0' || errno != 0 || value < 1 || value > kMaxThreads)
    refuse(FLASHDEC_INVALID_VALUE, "FLASHDEC_NUM_THREADS is \"%s\"; it must be 1 to %ld", text,
           kMaxThreads);
  return static_cast<uint32_t>(value);
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

CpuDevice cpu_device() {
  const char* isa = std::getenv("FLASHDEC_ISA");
  const char* threads = std::getenv("FLASHDEC_NUM_THREADS");
  CpuDevice device;
  device.forced = is_set(isa);
  device.isa = device.forced ? forced_isa(isa) : best_isa();
  device.num_threads = is_set(threads) ? threads_from_environment(threads) : processors_allowed();
  return device;
}

}  // namespace flashdec
