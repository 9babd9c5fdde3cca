#include "cuda/sm90/launch.cuh"

namespace flashdec::cuda {

void run_sm90_bf16_d64_h8(const Launch& launch) {
  run_sm90<__nv_bfloat16, 64, 8>(launch);
}
void run_sm90_bf16_d64_h16(const Launch& launch) {
  run_sm90<__nv_bfloat16, 64, 16>(launch);
}
void run_sm90_bf16_d96_h8(const Launch& launch) {
  run_sm90<__nv_bfloat16, 96, 8>(launch);
}
void run_sm90_bf16_d96_h16(const Launch& launch) {
  run_sm90<__nv_bfloat16, 96, 16>(launch);
}
void run_sm90_bf16_d128_h8(const Launch& launch) {
  run_sm90<__nv_bfloat16, 128, 8>(launch);
}
void run_sm90_bf16_d128_h16(const Launch& launch) {
  run_sm90<__nv_bfloat16, 128, 16>(launch);
}
void run_sm90_bf16_d192_h8(const Launch& launch) {
  run_sm90<__nv_bfloat16, 192, 8>(launch);
}
void run_sm90_bf16_d256_h8(const Launch& launch) {
  run_sm90<__nv_bfloat16, 256, 8>(launch);
}

}  // namespace flashdec::cuda
