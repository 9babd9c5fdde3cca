#include "cpu/vector_avx512.h"

#include "cpu/body.h"
#include "cpu/probe.h"
#include "cpu/side_by_side_avx512.h"
#include "cpu/turned_avx512.h"

namespace flashdec::cpu {

void run_avx512_bf16(const Launch& launch) {
  run(launch, steps<Avx512, Bf16>());
}
void run_avx512_f16(const Launch& launch) {
  run(launch, steps<Avx512, F16>());
}
void run_avx512_f32(const Launch& launch) {
  run(launch, steps<Avx512, float>());
}
void probe_avx512(const ProbedBlocks& what) {
  probe(what);
}

}  // namespace flashdec::cpu
