#include "cpu/vector_avx2.h"

#include "cpu/body.h"
#include "cpu/probe.h"

namespace flashdec::cpu {

void run_avx2_bf16(const Launch& launch) {
  run(launch, steps<Avx2, Bf16>());
}
void run_avx2_f16(const Launch& launch) {
  run(launch, steps<Avx2, F16>());
}
void run_avx2_f32(const Launch& launch) {
  run(launch, steps<Avx2, float>());
}
void probe_avx2(const ProbedBlocks& what) {
  probe(what);
}

}  // namespace flashdec::cpu
