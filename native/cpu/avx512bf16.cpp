#include "cpu/vector_avx512bf16.h"

#include "cpu/body.h"

namespace flashdec::cpu {

void run_avx512bf16_bf16(const Launch& launch) {
  run(launch, Body<Avx512Bf16, Bf16>::attend);
}
void run_avx512bf16_f16(const Launch& launch) {
  run(launch, Body<Avx512Bf16, F16>::attend);
}
void run_avx512bf16_f32(const Launch& launch) {
  run(launch, Body<Avx512Bf16, float>::attend);
}

}  // namespace flashdec::cpu
