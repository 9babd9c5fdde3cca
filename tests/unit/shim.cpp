// Doors into native/core for ctypes: a planner on a machine that is not there, and the arithmetic
// that kernels share.  No kernel runs.
#include <cstring>

#include "core/convert.h"
#include "core/guarded.h"
#include "core/plan.h"
#include "core/schedule.h"
#include "core/softmax_state.h"
#include "core/validate.h"
#include "cpu/append.h"
#include "cpu/backend.h"
#include "cpu/merge.h"
#include "cpu/threads.h"
#include "cuda/backend.h"

using namespace flashdec;

#define NOT_RUN(name) \
  __attribute__((weak)) void name(const Launch&) {}

namespace flashdec::cpu {
NOT_RUN(run_avx512bf16_bf16)
NOT_RUN(run_avx512bf16_f16)
NOT_RUN(run_avx512bf16_f32)
NOT_RUN(run_avx512_bf16)
NOT_RUN(run_avx512_f16)
NOT_RUN(run_avx512_f32)
NOT_RUN(run_avx2_bf16)
NOT_RUN(run_avx2_f16)
NOT_RUN(run_avx2_f32)
NOT_RUN(run_neonbf16_bf16)
NOT_RUN(run_neonbf16_f16)
NOT_RUN(run_neonbf16_f32)
NOT_RUN(run_neon_bf16)
NOT_RUN(run_neon_f16)
NOT_RUN(run_neon_f32)
NOT_RUN(run_generic_bf16)
NOT_RUN(run_generic_f16)
NOT_RUN(run_generic_f32)
NOT_RUN(run_reference_bf16)
NOT_RUN(run_reference_f16)
NOT_RUN(run_reference_f32)
void append(const Append&) {}
void merge(const Merge&) {}
void use_threads(const flashdec_threads*) {}
}  // namespace flashdec::cpu

namespace flashdec::cuda {
NOT_RUN(run_sm80_bf16_d64_h8)
NOT_RUN(run_sm80_bf16_d64_h16)
NOT_RUN(run_sm80_bf16_d96_h8)
NOT_RUN(run_sm80_bf16_d96_h16)
NOT_RUN(run_sm80_bf16_d128_h8)
NOT_RUN(run_sm80_bf16_d128_h16)
NOT_RUN(run_sm80_bf16_d192_h8)
NOT_RUN(run_sm80_bf16_d256_h8)
NOT_RUN(run_sm80_f16_d64_h8)
NOT_RUN(run_sm80_f16_d64_h16)
NOT_RUN(run_sm80_f16_d96_h8)
NOT_RUN(run_sm80_f16_d96_h16)
NOT_RUN(run_sm80_f16_d128_h8)
NOT_RUN(run_sm80_f16_d128_h16)
NOT_RUN(run_sm80_f16_d192_h8)
NOT_RUN(run_sm80_f16_d256_h8)
NOT_RUN(run_sm90_bf16_d64_h8)
NOT_RUN(run_sm90_bf16_d64_h16)
NOT_RUN(run_sm90_bf16_d96_h8)
NOT_RUN(run_sm90_bf16_d96_h16)
NOT_RUN(run_sm90_bf16_d128_h8)
NOT_RUN(run_sm90_bf16_d128_h16)
NOT_RUN(run_sm90_bf16_d192_h8)
NOT_RUN(run_sm90_bf16_d256_h8)
NOT_RUN(run_sm90_f16_d64_h8)
NOT_RUN(run_sm90_f16_d64_h16)
NOT_RUN(run_sm90_f16_d96_h8)
NOT_RUN(run_sm90_f16_d96_h16)
NOT_RUN(run_sm90_f16_d128_h8)
NOT_RUN(run_sm90_f16_d128_h16)
NOT_RUN(run_sm90_f16_d192_h8)
NOT_RUN(run_sm90_f16_d256_h8)
__attribute__((weak)) void prepare_workspace(void*, uint64_t, int32_t, CUstream_st*) {}
void append(const Append&, CUstream_st*) {}
void merge(const Merge&, CUstream_st*) {}
NOT_RUN(run_simple_bf16)
NOT_RUN(run_simple_f16)
NOT_RUN(run_simple_f32)

CudaDevice find_device(CUstream_st*, bool) {
  return {-1, 0, 0, 0, 0};
}
}  // namespace flashdec::cuda

extern "C" {

struct UnitMachine {
  int32_t arch;  // 0: no GPU
  int32_t sm_count;
  int64_t smem;
  uint32_t isa;
  uint32_t isa_forced;
  uint32_t threads;
  uint32_t reserved;
  int64_t memory_bandwidth;
};

struct UnitKernel {
  int32_t arch;
  uint32_t needs_sm90a;
  uint32_t layout;
  uint32_t element;
  int64_t max_head_dim;
  int64_t alignment;
  int64_t tile;
  int64_t heads;
  int64_t smem;
  int64_t blocks_per_sm;
  int64_t max_group;
  int64_t row_multiple;
  int64_t page_multiple;
  uint32_t persistent;
  uint32_t levels;
  int64_t warps;
};

static Device device_of(const UnitMachine& machine) {
  Device device;
  device.cpu = {static_cast<Isa>(machine.isa), machine.isa_forced != 0, machine.threads};
  device.cuda = {machine.arch != 0 ? 0 : -1, machine.arch, machine.sm_count, machine.smem,
                 machine.memory_bandwidth};
  return device;
}

int32_t unit_select(const flashdec_descriptor* desc, const flashdec_preference* preference,
                    const UnitMachine* machine, flashdec_plan* plan) {
  return guarded([&] {
    store_plan(make_plan(validate(*desc), validate(*preference), device_of(*machine)), plan);
  });
}

// Leaves `byte` where the next calls will have their variables.
void unit_dirty_stack(int32_t byte) {
  volatile unsigned char room[64 * 1024];
  for (volatile unsigned char& each : room)
    each = static_cast<unsigned char>(byte);
}

void unit_kernel(uint32_t index, UnitKernel* out) {
  const Kernel& row = kernel_table().rows[index];
  *out = {row.arch,          row.needs_sm90a,  row.layout,
          row.element,       row.max_head_dim, row.alignment,
          row.tile,          row.heads,        row.smem,
          row.blocks_per_sm, row.max_group,    row.row_multiple,
          row.page_multiple, row.persistent,   static_cast<uint32_t>(row.levels),
          row.warps};
}

// Whether a CUDA kernel that is not in the table would be chosen.
int32_t unit_why_not(const UnitKernel* row, const flashdec_descriptor* desc,
                     const flashdec_preference* preference, const UnitMachine* machine) {
  return guarded([&] {
    Kernel kernel = kernel_table().rows[0];
    kernel.name = "made_up";
    kernel.backend = FLASHDEC_BACKEND_CUDA;
    kernel.element = kernel.aux_element = row->element;
    kernel.arch = row->arch;
    kernel.needs_sm90a = row->needs_sm90a != 0;
    kernel.layout = row->layout;
    kernel.max_head_dim = row->max_head_dim;
    kernel.alignment = row->alignment;
    kernel.smem = row->smem;
    kernel.max_group = row->max_group;
    kernel.row_multiple = row->row_multiple;
    kernel.page_multiple = row->page_multiple;
    kernel.persistent = row->persistent != 0;
    kernel.tile = row->tile;
    kernel.heads = row->heads;
    const Refusal why =
        why_not(kernel, validate(*desc), validate(*preference), device_of(*machine));
    if (why.code != FLASHDEC_SUCCESS) throw why;
  });
}

int64_t unit_split_length(int64_t max_splits, int64_t split_len, int64_t tile, int64_t len) {
  return split_length({max_splits, split_len, tile}, len);
}

int64_t unit_live_splits(int64_t max_splits, int64_t split_len, int64_t tile, int64_t len) {
  return live_splits({max_splits, split_len, tile}, len);
}

// `all`: the fields of Folding, then the blocks.
int32_t unit_node_level(const int32_t* all, int32_t most) {
  const Folding folding = {all[0], all[1], all[2], all[3]};
  return node_level(most, [&](int level) {
    return folding_cost(folding, level, [&](int nodes) { return (nodes - 1) / all[4] + 1; });
  });
}

// out: the fields of Rounds.
void unit_deal_rounds(int64_t units, int64_t grid, int64_t tiles, bool may_cut, int32_t* out) {
  const Rounds rounds = deal_rounds(units, grid, tiles, may_cut);
  out[0] = rounds.whole;
  out[1] = rounds.left_over;
  out[2] = rounds.parts;
  out[3] = rounds.spare;
  out[4] = rounds.ends;
  out[5] = rounds.end_tiles;
}

int64_t unit_most_nodes(int64_t max_splits, int64_t grid, int64_t levels, int64_t all_units) {
  Schedule schedule = {};
  schedule.max_splits = max_splits;
  schedule.grid = grid;
  schedule.levels = levels;
  return most_nodes(schedule, all_units);
}

void unit_f16_to_float(const uint16_t* from, float* to, int64_t count) {
  for (int64_t i = 0; i < count; ++i)
    to[i] = to_float(F16{from[i]});
}

void unit_bf16_to_float(const uint16_t* from, float* to, int64_t count) {
  for (int64_t i = 0; i < count; ++i)
    to[i] = to_float(Bf16{from[i]});
}

void unit_float_to_f16(const float* from, uint16_t* to, int64_t count) {
  for (int64_t i = 0; i < count; ++i) {
    F16 value;
    from_float(from[i], &value);
    to[i] = value.bits;
  }
}

void unit_float_to_bf16(const float* from, uint16_t* to, int64_t count) {
  for (int64_t i = 0; i < count; ++i) {
    Bf16 value;
    from_float(from[i], &value);
    to[i] = value.bits;
  }
}

// out: m, l, keep, add
void unit_merge(const float* state, const float* part, float* out) {
  const SoftmaxState merged =
      merge_states({state[0], state[1]}, {part[0], part[1]}, &out[2], &out[3]);
  out[0] = merged.m;
  out[1] = merged.l;
}

void unit_empty_state(float* out) {
  const SoftmaxState state = empty_state();
  out[0] = state.m;
  out[1] = state.l;
}

void unit_poisoned_state(float* out) {
  const SoftmaxState state = poisoned_state();
  out[0] = state.m;
  out[1] = state.l;
}

float unit_rescale_factor(float from, float to) {
  return rescale_factor(from, to);
}
float unit_reference_score(float m) {
  return reference_score(m);
}
float unit_lse(float m, float l) {
  return state_lse({m, l}, false);
}

}  // extern "C"
