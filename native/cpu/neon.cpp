#include "cpu/vector_neon.h"

#include "cpu/body.h"

namespace flashdec::cpu {

void run_neon_bf16(const Launch& launch) {
  run(launch, Body<Neon, Bf16>::attend);
}
void run_neon_f16(const Launch& launch) {
  run(launch, Body<Neon, F16>::attend);
}
void run_neon_f32(const Launch& launch) {
  run(launch, Body<Neon, float>::attend);
}

}  // namespace flashdec::cpu
