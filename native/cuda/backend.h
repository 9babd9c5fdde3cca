// The CUDA backend as the core sees it: plain C++, no CUDA header.  Built from backend.cu and the
// kernel folders, or from absent.cpp where the build has no CUDA.
#pragma once

#include "core/append.h"
#include "core/device.h"
#include "core/kernel.h"
#include "core/merge.h"

namespace flashdec::cuda {

// The device of the stream, or of the calling thread where it is NULL.  Where none is usable:
// refuses with the driver's reason if one is required, else ordinal -1.
CudaDevice find_device(CUstream_st* stream, bool required);

// Of the device of that number; refuses where there is none.
CudaDevice device_facts(int32_t ordinal);

constexpr int64_t kSimpleTile = 16;
constexpr int64_t kSimpleHeads = 4;
constexpr int64_t kSimpleSmem = 17 * 1024;
constexpr int64_t kSimpleBlocksPerSm = 3;  // its registers allow no more

void run_simple_bf16(const Launch& launch);
void run_simple_f16(const Launch& launch);
void run_simple_f32(const Launch& launch);

// Fills a workspace as flashdec_workspace_prepare promises.
void prepare_workspace(void* workspace, uint64_t bytes, int32_t device, CUstream_st* stream);

// Refuses where no device is usable, or there is none of that number.
void append(const Append& args, CUstream_st* stream);
void merge(const Merge& args, CUstream_st* stream);

void run_sm80_bf16_d64_h8(const Launch& launch);
void run_sm80_bf16_d64_h16(const Launch& launch);
void run_sm80_bf16_d96_h8(const Launch& launch);
void run_sm80_bf16_d96_h16(const Launch& launch);
void run_sm80_bf16_d128_h8(const Launch& launch);
void run_sm80_bf16_d128_h16(const Launch& launch);
void run_sm80_bf16_d192_h8(const Launch& launch);
void run_sm80_bf16_d256_h8(const Launch& launch);
void run_sm80_f16_d64_h8(const Launch& launch);
void run_sm80_f16_d64_h16(const Launch& launch);
void run_sm80_f16_d96_h8(const Launch& launch);
void run_sm80_f16_d96_h16(const Launch& launch);
void run_sm80_f16_d128_h8(const Launch& launch);
void run_sm80_f16_d128_h16(const Launch& launch);
void run_sm80_f16_d192_h8(const Launch& launch);
void run_sm80_f16_d256_h8(const Launch& launch);
void run_sm90_bf16_d64_h8(const Launch& launch);
void run_sm90_bf16_d64_h16(const Launch& launch);
void run_sm90_bf16_d96_h8(const Launch& launch);
void run_sm90_bf16_d96_h16(const Launch& launch);
void run_sm90_bf16_d128_h8(const Launch& launch);
void run_sm90_bf16_d128_h16(const Launch& launch);
void run_sm90_bf16_d192_h8(const Launch& launch);
void run_sm90_bf16_d256_h8(const Launch& launch);
void run_sm90_f16_d64_h8(const Launch& launch);
void run_sm90_f16_d64_h16(const Launch& launch);
void run_sm90_f16_d96_h8(const Launch& launch);
void run_sm90_f16_d96_h16(const Launch& launch);
void run_sm90_f16_d128_h8(const Launch& launch);
void run_sm90_f16_d128_h16(const Launch& launch);
void run_sm90_f16_d192_h8(const Launch& launch);
void run_sm90_f16_d256_h8(const Launch& launch);

}  // namespace flashdec::cuda
