// Element types on the device, and their conversions.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

namespace flashdec::cuda {

__device__ inline float to_float(float value) {
  return value;
}
__device__ inline float to_float(__half value) {
  return __half2float(value);
}
__device__ inline float to_float(__nv_bfloat16 value) {
  return __bfloat162float(value);
}

__device__ inline void store(float* target, float value) {
  *target = value;
}
__device__ inline void store(__half* target, float value) {
  *target = __float2half_rn(value);
}
__device__ inline void store(__nv_bfloat16* target, float value) {
  *target = __float2bfloat16_rn(value);
}

}  // namespace flashdec::cuda
