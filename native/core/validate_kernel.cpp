// Why a kernel cannot solve a problem on a machine.

#include "core/checks.h"
#include "core/schedule.h"
#include "core/validate.h"

namespace flashdec {
namespace {

constexpr int32_t kSm90 = 90;  // code for sm_90a runs there, and on nothing later

const Refusal kAccepted = {FLASHDEC_SUCCESS, ""};
const Refusal kNotMeant = {FLASHDEC_UNSUPPORTED, ""};  // a row for another dtype or machine

Refusal why_not_cpu(const Kernel& kernel, const CpuDevice& cpu) {
  const bool runs = cpu.forced ? kernel.isa == cpu.isa : kernel.isa <= cpu.isa;
  return runs ? kAccepted : kNotMeant;
}

Refusal why_not_cuda(const Kernel& kernel, const Choice& choice, const CudaDevice& cuda) {
  if (cuda.ordinal < 0) return kNotMeant;  // refused in flashdec_select, with the driver's reason
  if (cuda.arch < kernel.arch)
    return refusal(FLASHDEC_UNSUPPORTED,
                   "the device's compute capability is %d.%d; this build has kernels from %d.%d",
                   cuda.arch / 10, cuda.arch % 10, kernel.arch / 10, kernel.arch % 10);
  if (kernel.needs_sm90a && cuda.arch != kSm90) return kNotMeant;
  if (kernel.needs_sm90a && !choice.allow_sm90a)
    return refusal(FLASHDEC_PREFERENCE_UNMET, "%s needs sm_90a, which the preference leaves out",
                   kernel.name);
  if (cuda.smem_per_block < kernel.smem)
    return refusal(FLASHDEC_UNSUPPORTED,
                   "%s needs %lld bytes of shared memory in a block; the device has %lld",
                   kernel.name, ll(kernel.smem), ll(cuda.smem_per_block));
  return kAccepted;
}

Refusal not_multiple(const Kernel& kernel, const char* name, int64_t value, int64_t multiple) {
  if (multiple == 0 || value % multiple == 0) return kAccepted;
  return refusal(FLASHDEC_UNSUPPORTED, "%s is %lld; %s needs a multiple of %lld", name, ll(value),
                 kernel.name, ll(multiple));
}

// Persistent kernels count what they deal in 32 bits: splits, if the choice fixes them, else tiles
// and one more to begin a sequence; and a little more than there is, so that all blocks may have as
// much.
Refusal too_much_to_deal(const Kernel& kernel, const Problem& problem, const Choice& choice) {
  if (!kernel.persistent) return kAccepted;
  const int64_t units =
      problem.batch * problem.kv_heads * ceil_div(problem.group, kernel.heads);  // < 2^31
  constexpr int64_t kSpare = 1 << 16;
  const int64_t quanta = (INT32_MAX - kSpare) / units;
  const int64_t split_len = fixed_split_len(problem, choice, kernel);
  const int64_t most = split_len != 0 ? quanta * split_len : (quanta - 1) * kernel.tile;
  if (problem.max_kv_len <= most) return kAccepted;
  return refusal(FLASHDEC_UNSUPPORTED,
                 "max_kv_len is %lld; with %lld sequences, %lld key/value heads and groups of %lld "
                 "%s takes up to %lld",
                 ll(problem.max_kv_len), ll(problem.batch), ll(problem.kv_heads), ll(problem.group),
                 kernel.name, ll(most));
}

Refusal why_not_shape(const Kernel& kernel, const Problem& problem, const Choice& choice) {
  if (kernel.max_group != 0 && problem.group > kernel.max_group)
    return refusal(FLASHDEC_UNSUPPORTED, "the group is %lld query heads; %s takes up to %lld",
                   ll(problem.group), kernel.name, ll(kernel.max_group));
  const Refusal refusals[] = {
      not_multiple(kernel, "head_dim", problem.head_dim, kernel.row_multiple),
      not_multiple(kernel, "head_dim_v", problem.head_dim_v, kernel.row_multiple),
      not_multiple(kernel, "page_size", problem.page_size, kernel.page_multiple),
      too_much_to_deal(kernel, problem, choice),
  };
  for (const Refusal& why : refusals)
    if (why.code != FLASHDEC_SUCCESS) return why;
  return kAccepted;
}

}  // namespace

Refusal why_not(const Kernel& kernel, const Problem& problem, const Choice& choice,
                const Device& device) {
  if (choice.backend != FLASHDEC_BACKEND_ANY && kernel.backend != choice.backend) return kNotMeant;
  if (kernel.element != problem.element || kernel.aux_element != problem.aux_element)
    return kNotMeant;
  const Refusal machine = kernel.backend == FLASHDEC_BACKEND_CUDA
                              ? why_not_cuda(kernel, choice, device.cuda)
                              : why_not_cpu(kernel, device.cpu);
  if (machine.code != FLASHDEC_SUCCESS) return machine;
  const uint32_t layout = problem.paged() ? FLASHDEC_LAYOUT_PAGED : FLASHDEC_LAYOUT_STRIDED;
  if ((kernel.layout & layout) == 0)
    return refusal(FLASHDEC_UNSUPPORTED, "%s does not read this cache layout", kernel.name);
  if (problem.alignment < kernel.alignment)
    return refusal(FLASHDEC_UNSUPPORTED, "alignment is %u bytes; %s needs %lld", problem.alignment,
                   kernel.name, ll(kernel.alignment));
  if (problem.head_dim > kernel.max_head_dim)
    return refusal(FLASHDEC_UNSUPPORTED, "head_dim is %lld; this build has kernels up to %lld",
                   ll(problem.head_dim), ll(kernel.max_head_dim));
  if (problem.head_dim_v > kernel.max_head_dim)
    return refusal(FLASHDEC_UNSUPPORTED, "head_dim_v is %lld; this build has kernels up to %lld",
                   ll(problem.head_dim_v), ll(kernel.max_head_dim));
  return why_not_shape(kernel, problem, choice);
}

Refusal explain(const Kernel& kernel, const Problem& problem, const Choice& choice,
                const Device& device) {
  const Refusal why = why_not(kernel, problem, choice, device);
  if (why.code == FLASHDEC_SUCCESS) return why;
  // For a row of its own, which another may exceed.
  const bool wide = problem.head_dim > kernel.max_head_dim;
  if (why.text[0] != '\0' && (wide || problem.head_dim_v > kernel.max_head_dim))
    return refusal(why.code, "%s is %lld; %s takes up to %lld", wide ? "head_dim" : "head_dim_v",
                   ll(wide ? problem.head_dim : problem.head_dim_v), kernel.name,
                   ll(kernel.max_head_dim));
  if (why.text[0] != '\0') return why;
  const bool cuda = kernel.backend == FLASHDEC_BACKEND_CUDA;
  if (choice.backend != FLASHDEC_BACKEND_ANY && kernel.backend != choice.backend)
    return refusal(why.code, "%s runs on %s, which the preference leaves out", kernel.name,
                   cuda ? "CUDA" : "the CPU");
  if (kernel.element != problem.element || kernel.aux_element != problem.aux_element)
    return refusal(why.code, "q has the dtype %s and k %s; %s takes %s and %s",
                   dtype_name(problem.element), dtype_name(problem.aux_element), kernel.name,
                   dtype_name(kernel.element), dtype_name(kernel.aux_element));
  if (!cuda)
    return refusal(why.code, "the instruction set is %s%s; %s needs %s", isa_name(device.cpu.isa),
                   device.cpu.forced ? " by FLASHDEC_ISA" : "", kernel.name, isa_name(kernel.isa));
  if (device.cuda.ordinal < 0)
    return refusal(why.code, "no GPU is usable here; %s needs one", kernel.name);
  return refusal(why.code, "the device's compute capability is %d.%d; %s is for %d.%d alone",
                 device.cuda.arch / 10, device.cuda.arch % 10, kernel.name, kernel.arch / 10,
                 kernel.arch % 10);
}

}  // namespace flashdec
