#include "cpu/vector_avx512.h"

#include "cpu/body.h"
#include "cpu/probe.h"

namespace flashdec::cpu {

void run_avx512_bf16(const Launch& launch) {
  run(launch, Body<Avx512, Bf16>::attend);
}
void run_avx512_f16(const Launch& launch) {
  run(launch, Body<Avx512, F16>::attend);
}
void run_avx512_f32(const Launch& launch) {
  run(launch, Body<Avx512, float>::attend);
}
void probe_avx512(const ProbedBlocks& what) {
  probe(what);
}

}  // namespace flashdec::cpu
