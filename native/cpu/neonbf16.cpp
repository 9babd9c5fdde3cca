#include "cpu/vector_neonbf16.h"

#include "cpu/body.h"

namespace flashdec::cpu {

void run_neonbf16_bf16(const Launch& launch) {
  run(launch, steps<NeonBf16, Bf16>());
}
void run_neonbf16_f16(const Launch& launch) {
  run(launch, steps<NeonBf16, F16>());
}
void run_neonbf16_f32(const Launch& launch) {
  run(launch, steps<NeonBf16, float>());
}

}  // namespace flashdec::cpu
