#include "cpu/vector_generic.h"

#include "cpu/body.h"
#include "cpu/probe.h"

namespace flashdec::cpu {

void run_generic_bf16(const Launch& launch) {
  run(launch, steps<Generic, Bf16>());
}
void run_generic_f16(const Launch& launch) {
  run(launch, steps<Generic, F16>());
}
void run_generic_f32(const Launch& launch) {
  run(launch, steps<Generic, float>());
}
void probe_generic(const ProbedBlocks& what) {
  probe(what);
}

}  // namespace flashdec::cpu
