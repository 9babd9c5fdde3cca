# Every source file of the library.

set(FLASHDEC_CORE_SOURCES
  native/core/abi.cpp
  native/core/api.cpp
  native/core/api_dlpack.cpp
  native/core/array.cpp
  native/core/array_checks.cpp
  native/core/array_text.cpp
  native/core/bind_append.cpp
  native/core/bind_merge.cpp
  native/core/build_id.cpp
  native/core/checks.cpp
  native/core/describe.cpp
  native/core/device.cpp
  native/core/interpreter.cpp
  native/core/plan.cpp
  native/core/registry.cpp
  native/core/run.cpp
  native/core/schedule.cpp
  native/core/status.cpp
  native/core/validate.cpp
  native/core/validate_append.cpp
  native/core/validate_args.cpp
  native/core/validate_arrays.cpp
  native/core/validate_kernel.cpp
  native/core/validate_merge.cpp
  native/core/workspace.cpp)

set(FLASHDEC_CPU_SOURCES
  native/cpu/append.cpp
  native/cpu/backend.cpp
  native/cpu/callers_threads.cpp
  native/cpu/generic.cpp
  native/cpu/merge.cpp
  native/cpu/probe.cpp
  native/cpu/reference.cpp
  native/cpu/rows.cpp
  native/cpu/threads.cpp
  native/cpu/tile.cpp)

# PyTorch's operators, without PyTorch.
set(FLASHDEC_TORCH_SOURCES
  native/torch/api.cpp
  native/torch/append.cpp
  native/torch/decode.cpp
  native/torch/merge.cpp
  native/torch/parameters.cpp
  native/torch/plans.cpp
  native/torch/python.cpp
  native/torch/register.cpp
  native/torch/scratch.cpp
  native/torch/tensor.cpp)

# One file for each instruction set, with its own flags.
set(FLASHDEC_X86_SOURCES native/cpu/avx2.cpp native/cpu/avx512.cpp native/cpu/avx512bf16.cpp)
set(FLASHDEC_AVX2_FLAGS -mavx2 -mfma -mf16c)
set(FLASHDEC_AVX512_FLAGS ${FLASHDEC_AVX2_FLAGS} -mavx512f -mavx512bw -mavx512vl -mavx512dq)
set(FLASHDEC_AVX512BF16_FLAGS ${FLASHDEC_AVX512_FLAGS} -mavx512bf16)

set(FLASHDEC_ARM64_SOURCES native/cpu/neon.cpp native/cpu/neonbf16.cpp)
set(FLASHDEC_NEON_FLAGS)  # aarch64 begins with it
set(FLASHDEC_NEONBF16_FLAGS -march=armv8.2-a+bf16)

set(FLASHDEC_CUDA_SOURCES
  native/cuda/append/append.cu
  native/cuda/backend.cu
  native/cuda/combine/combine.cu
  native/cuda/combine/parts.cu
  native/cuda/contents.cu
  native/cuda/enqueue.cu
  native/cuda/merge/merge.cu
  native/cuda/simple/split.cu
  native/cuda/sm80/bf16.cu
  native/cuda/sm80/f16.cu)
# Compiled for sm_90a alone.
set(FLASHDEC_SM90A_SOURCES
  native/cuda/copy/tensor_map.cu
  native/cuda/sm90/bf16.cu
  native/cuda/sm90/f16.cu)
set(FLASHDEC_NO_CUDA_SOURCES native/cuda/absent.cpp)
