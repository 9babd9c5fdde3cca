#include "cpu/vector_neon.h"

#include "cpu/body.h"

namespace flashdec::cpu {

void run_neon_bf16(const Launch& launch) {
  run(launch, steps<Neon, Bf16>());
}
void run_neon_f16(const Launch& launch) {
  run(launch, steps<Neon, F16>());
}
void run_neon_f32(const Launch& launch) {
  run(launch, steps<Neon, float>());
}

}  // namespace flashdec::cpu
