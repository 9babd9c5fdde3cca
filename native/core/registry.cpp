// The kernel table: every kernel of this build, best first within its backend, references last.
// A new kernel is a new row here, and a folder or file that holds its `run`.

#include "core/kernel.h"
#include "cpu/backend.h"
#include "cuda/backend.h"
#include "cuda/tensor/shape.h"

namespace flashdec {
namespace {

constexpr Dtype F32 = FLASHDEC_FLOAT32;
constexpr Dtype F16 = FLASHDEC_FLOAT16;
constexpr Dtype BF16 = FLASHDEC_BFLOAT16;

constexpr Kernel cpu_row(const char* name, Isa isa, Dtype element, void (*run)(const Launch&)) {
  return {name,
          FLASHDEC_BACKEND_CPU,
          element,
          element,
          FLASHDEC_LAYOUT_ANY,
          F32,
          isa,
          0,
          false,
          256,
          0,
          cpu::kTile,
          1,
          0,
          0,
          0,
          0,
          0,
          0,
          0,
          false,
          run};
}

#if FLASHDEC_WITH_CUDA
constexpr Kernel simple_row(const char* name, Dtype element, void (*run)(const Launch&)) {
  return {name,
          FLASHDEC_BACKEND_CUDA,
          element,
          element,
          FLASHDEC_LAYOUT_ANY,
          F32,
          Isa::kReference,
          80,
          false,
          256,
          0,
          cuda::kSimpleTile,
          cuda::kSimpleHeads,
          cuda::kSimpleSmem,
          0,
          0,
          cuda::kSimpleBlocksPerSm,
          0,
          0,
          0,
          false,
          run};
}

// Rows of up to HeadDim elements, groups of up to `max_group` query heads (0: any).
template <int HeadDim, int Heads>
constexpr Kernel sm80_row(const char* name, Dtype element, int64_t max_group,
                          void (*run)(const Launch&)) {
  using Shape = cuda::AsyncShape<HeadDim, Heads>;
  return {name,
          FLASHDEC_BACKEND_CUDA,
          element,
          element,
          FLASHDEC_LAYOUT_ANY,
          element,
          Isa::kReference,
          80,
          false,
          HeadDim,
          16,
          Shape::kTile,
          Heads,
          Shape::kSmem + Shape::kFoldBytes,
          Shape::kLevels,
          Shape::kWarps,
          1,
          max_group,
          8,
          0,
          true,
          run};
}

template <int HeadDim, int Heads>
constexpr Kernel sm90_row(const char* name, Dtype element, int64_t max_group,
                          void (*run)(const Launch&)) {
  using Shape = cuda::TmaShape<HeadDim, Heads>;
  Kernel row = sm80_row<HeadDim, Heads>(name, element, max_group, run);
  row.arch = 90;
  row.needs_sm90a = true;
  row.smem = Shape::kSmem + Shape::kFoldBytes;
  row.levels = Shape::kLevels;
  row.page_multiple = 8;
  return row;
}
#endif

constexpr Kernel kKernels[] = {
#if FLASHDEC_WITH_SM90A
    sm90_row<64, 8>("cuda_sm90_bf16_d64_h8", BF16, 8, cuda::run_sm90_bf16_d64_h8),
    sm90_row<64, 16>("cuda_sm90_bf16_d64_h16", BF16, 0, cuda::run_sm90_bf16_d64_h16),
    sm90_row<96, 8>("cuda_sm90_bf16_d96_h8", BF16, 8, cuda::run_sm90_bf16_d96_h8),
    sm90_row<96, 16>("cuda_sm90_bf16_d96_h16", BF16, 0, cuda::run_sm90_bf16_d96_h16),
    sm90_row<128, 8>("cuda_sm90_bf16_d128_h8", BF16, 8, cuda::run_sm90_bf16_d128_h8),
    sm90_row<128, 16>("cuda_sm90_bf16_d128_h16", BF16, 0, cuda::run_sm90_bf16_d128_h16),
    sm90_row<192, 8>("cuda_sm90_bf16_d192_h8", BF16, 0, cuda::run_sm90_bf16_d192_h8),
    sm90_row<256, 8>("cuda_sm90_bf16_d256_h8", BF16, 0, cuda::run_sm90_bf16_d256_h8),
    sm90_row<64, 8>("cuda_sm90_f16_d64_h8", F16, 8, cuda::run_sm90_f16_d64_h8),
    sm90_row<64, 16>("cuda_sm90_f16_d64_h16", F16, 0, cuda::run_sm90_f16_d64_h16),
    sm90_row<96, 8>("cuda_sm90_f16_d96_h8", F16, 8, cuda::run_sm90_f16_d96_h8),
    sm90_row<96, 16>("cuda_sm90_f16_d96_h16", F16, 0, cuda::run_sm90_f16_d96_h16),
    sm90_row<128, 8>("cuda_sm90_f16_d128_h8", F16, 8, cuda::run_sm90_f16_d128_h8),
    sm90_row<128, 16>("cuda_sm90_f16_d128_h16", F16, 0, cuda::run_sm90_f16_d128_h16),
    sm90_row<192, 8>("cuda_sm90_f16_d192_h8", F16, 0, cuda::run_sm90_f16_d192_h8),
    sm90_row<256, 8>("cuda_sm90_f16_d256_h8", F16, 0, cuda::run_sm90_f16_d256_h8),
#endif
#if FLASHDEC_WITH_CUDA
    sm80_row<64, 8>("cuda_sm80_bf16_d64_h8", BF16, 8, cuda::run_sm80_bf16_d64_h8),
    sm80_row<64, 16>("cuda_sm80_bf16_d64_h16", BF16, 0, cuda::run_sm80_bf16_d64_h16),
    sm80_row<96, 8>("cuda_sm80_bf16_d96_h8", BF16, 8, cuda::run_sm80_bf16_d96_h8),
    sm80_row<96, 16>("cuda_sm80_bf16_d96_h16", BF16, 0, cuda::run_sm80_bf16_d96_h16),
    sm80_row<128, 8>("cuda_sm80_bf16_d128_h8", BF16, 8, cuda::run_sm80_bf16_d128_h8),
    sm80_row<128, 16>("cuda_sm80_bf16_d128_h16", BF16, 0, cuda::run_sm80_bf16_d128_h16),
    sm80_row<192, 8>("cuda_sm80_bf16_d192_h8", BF16, 0, cuda::run_sm80_bf16_d192_h8),
    sm80_row<256, 8>("cuda_sm80_bf16_d256_h8", BF16, 0, cuda::run_sm80_bf16_d256_h8),
    sm80_row<64, 8>("cuda_sm80_f16_d64_h8", F16, 8, cuda::run_sm80_f16_d64_h8),
    sm80_row<64, 16>("cuda_sm80_f16_d64_h16", F16, 0, cuda::run_sm80_f16_d64_h16),
    sm80_row<96, 8>("cuda_sm80_f16_d96_h8", F16, 8, cuda::run_sm80_f16_d96_h8),
    sm80_row<96, 16>("cuda_sm80_f16_d96_h16", F16, 0, cuda::run_sm80_f16_d96_h16),
    sm80_row<128, 8>("cuda_sm80_f16_d128_h8", F16, 8, cuda::run_sm80_f16_d128_h8),
    sm80_row<128, 16>("cuda_sm80_f16_d128_h16", F16, 0, cuda::run_sm80_f16_d128_h16),
    sm80_row<192, 8>("cuda_sm80_f16_d192_h8", F16, 0, cuda::run_sm80_f16_d192_h8),
    sm80_row<256, 8>("cuda_sm80_f16_d256_h8", F16, 0, cuda::run_sm80_f16_d256_h8),
    simple_row("cuda_simple_bf16", BF16, cuda::run_simple_bf16),
    simple_row("cuda_simple_f16", F16, cuda::run_simple_f16),
    simple_row("cuda_simple_f32", F32, cuda::run_simple_f32),
#endif
#if FLASHDEC_X86
    cpu_row("cpu_avx512bf16_bf16", Isa::kAvx512Bf16, BF16, cpu::run_avx512bf16_bf16),
    cpu_row("cpu_avx512bf16_f16", Isa::kAvx512Bf16, F16, cpu::run_avx512bf16_f16),
    cpu_row("cpu_avx512bf16_f32", Isa::kAvx512Bf16, F32, cpu::run_avx512bf16_f32),
    cpu_row("cpu_avx512_bf16", Isa::kAvx512, BF16, cpu::run_avx512_bf16),
    cpu_row("cpu_avx512_f16", Isa::kAvx512, F16, cpu::run_avx512_f16),
    cpu_row("cpu_avx512_f32", Isa::kAvx512, F32, cpu::run_avx512_f32),
    cpu_row("cpu_avx2_bf16", Isa::kAvx2, BF16, cpu::run_avx2_bf16),
    cpu_row("cpu_avx2_f16", Isa::kAvx2, F16, cpu::run_avx2_f16),
    cpu_row("cpu_avx2_f32", Isa::kAvx2, F32, cpu::run_avx2_f32),
#endif
#if FLASHDEC_ARM64
    cpu_row("cpu_neonbf16_bf16", Isa::kNeonBf16, BF16, cpu::run_neonbf16_bf16),
    cpu_row("cpu_neonbf16_f16", Isa::kNeonBf16, F16, cpu::run_neonbf16_f16),
    cpu_row("cpu_neonbf16_f32", Isa::kNeonBf16, F32, cpu::run_neonbf16_f32),
    cpu_row("cpu_neon_bf16", Isa::kNeon, BF16, cpu::run_neon_bf16),
    cpu_row("cpu_neon_f16", Isa::kNeon, F16, cpu::run_neon_f16),
    cpu_row("cpu_neon_f32", Isa::kNeon, F32, cpu::run_neon_f32),
#endif
    cpu_row("cpu_generic_bf16", Isa::kGeneric, BF16, cpu::run_generic_bf16),
    cpu_row("cpu_generic_f16", Isa::kGeneric, F16, cpu::run_generic_f16),
    cpu_row("cpu_generic_f32", Isa::kGeneric, F32, cpu::run_generic_f32),
    cpu_row("cpu_reference_bf16", Isa::kReference, BF16, cpu::run_reference_bf16),
    cpu_row("cpu_reference_f16", Isa::kReference, F16, cpu::run_reference_f16),
    cpu_row("cpu_reference_f32", Isa::kReference, F32, cpu::run_reference_f32),
};

}  // namespace

KernelTable kernel_table() {
  return {kKernels, static_cast<uint32_t>(sizeof(kKernels) / sizeof(kKernels[0]))};
}

}  // namespace flashdec
