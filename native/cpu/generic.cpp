#include "cpu/vector_generic.h"

#include "cpu/body.h"
#include "cpu/probe.h"

namespace flashdec::cpu {

void run_generic_bf16(const Launch& launch) {
  run(launch, Body<Generic, Bf16>::attend);
}
void run_generic_f16(const Launch& launch) {
  run(launch, Body<Generic, F16>::attend);
}
void run_generic_f32(const Launch& launch) {
  run(launch, Body<Generic, float>::attend);
}
void probe_generic(const ProbedBlocks& what) {
  probe(what);
}

}  // namespace flashdec::cpu
