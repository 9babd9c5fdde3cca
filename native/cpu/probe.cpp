// The exported function of flashdec_probe.h.

#include "flashdec_probe.h"

#include <cstdint>

#include "core/abi.h"
#include "core/checks.h"
#include "core/device.h"
#include "core/guarded.h"
#include "cpu/probe.h"

using namespace flashdec;

namespace {

constexpr int64_t kLine = 64;
constexpr int64_t kLeast = 4 * kLine;
constexpr int64_t kMost = INT64_C(1) << 40;  // bytes and blocks

void run(const cpu::ProbedBlocks& what) {
#if FLASHDEC_X86
  const Isa isa = cpu_device().isa;
  if (isa >= Isa::kAvx512) return cpu::probe_avx512(what);
  if (isa >= Isa::kAvx2) return cpu::probe_avx2(what);
#endif
  cpu::probe_generic(what);
}

}  // namespace

int32_t flashdec_probe(const void* memory, const int32_t* blocks, int64_t count,
                       int64_t block_bytes, int64_t ahead) {
  return guarded([&] {
    const auto* const bytes = static_cast<const unsigned char*>(require(memory, "memory"));
    if (reinterpret_cast<uintptr_t>(bytes) % kLine != 0)
      refuse(FLASHDEC_MISALIGNED, "memory is not aligned to %lld bytes",
             static_cast<long long>(kLine));
    check_range("count", count, 1, kMost);
    check_range("block_bytes", block_bytes, kLeast, kMost);
    check_range("ahead", ahead, 0, kMost);
    if (block_bytes % kLeast != 0)
      refuse(FLASHDEC_INVALID_VALUE, "block_bytes is %lld; it must be a multiple of %lld",
             static_cast<long long>(block_bytes), static_cast<long long>(kLeast));
    for (int64_t i = 0; blocks != nullptr && i < count; ++i)
      if (blocks[i] < 0)
        refuse(FLASHDEC_INVALID_VALUE, "blocks[%lld] is %d; it must be 0 or more",
               static_cast<long long>(i), blocks[i]);
    run({bytes, blocks, count, block_bytes, ahead});
  });
}
