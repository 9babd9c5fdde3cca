// Facts about the machine, as a value: the planner never asks the machine itself, so that tests can
// plan for machines that are not there.
#pragma once

#include <cstdint>

namespace flashdec {

// Among those of one architecture and the first two, a later one is better.
enum class Isa : uint32_t { kReference, kGeneric, kAvx2, kAvx512, kAvx512Bf16, kNeon, kNeonBf16 };

constexpr uint32_t kMaxThreads = 1024;

struct CpuDevice {
  Isa isa;               // the best instruction set that may be used
  bool forced;           // by FLASHDEC_ISA: exactly that one
  uint32_t num_threads;  // FLASHDEC_NUM_THREADS, or the processors this thread may run on
};

struct CudaDevice {
  int32_t ordinal;  // -1: none is usable
  int32_t arch;     // 10 * major + minor
  int32_t sm_count;
  int64_t smem_per_block;    // bytes, with the opt-in
  int64_t memory_bandwidth;  // bytes a second, by its clock and width
};

struct Device {
  CpuDevice cpu;
  CudaDevice cuda;
};

// FLASHDEC_ISA and FLASHDEC_NUM_THREADS are read anew at each call.  Refuses what they cannot mean.
CpuDevice cpu_device();

// The same of threads alone.
uint32_t cpu_threads();

const char* isa_name(Isa isa);

}  // namespace flashdec
