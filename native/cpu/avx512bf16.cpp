#include "cpu/vector_avx512bf16.h"

#include "cpu/body.h"
#include "cpu/side_by_side_avx512.h"
#include "cpu/turned_avx512.h"

namespace flashdec::cpu {

void run_avx512bf16_bf16(const Launch& launch) {
  run(launch, steps<Avx512Bf16, Bf16>());
}
void run_avx512bf16_f16(const Launch& launch) {
  run(launch, steps<Avx512Bf16, F16>());
}
void run_avx512bf16_f32(const Launch& launch) {
  run(launch, steps<Avx512Bf16, float>());
}

}  // namespace flashdec::cpu
