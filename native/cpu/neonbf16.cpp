#include "cpu/vector_neonbf16.h"

#include "cpu/body.h"

namespace flashdec::cpu {

void run_neonbf16_bf16(const Launch& launch) {
  run(launch, Body<NeonBf16, Bf16>::attend);
}
void run_neonbf16_f16(const Launch& launch) {
  run(launch, Body<NeonBf16, F16>::attend);
}
void run_neonbf16_f32(const Launch& launch) {
  run(launch, Body<NeonBf16, float>::attend);
}

}  // namespace flashdec::cpu
