#include "core/plan.h"

#include <cstdlib>
#include <cstring>

#include "core/abi.h"
#include "core/build_id.h"
#include "core/schedule.h"
#include "core/status.h"
#include "core/validate.h"
#include "core/workspace.h"

namespace flashdec {
namespace {

constexpr uint64_t kMagic = 0x6e616c7064736c66;  // "flsdplan"

// FNV-1a over 8-byte words: catches stray writes, not adversaries.
uint64_t checksum_of(Plan plan) {
  plan.checksum = 0;
  uint64_t words[sizeof(Plan) / 8];
  std::memcpy(words, &plan, sizeof(plan));
  uint64_t hash = 0xcbf29ce484222325;
  for (uint64_t word : words)
    hash = (hash ^ word) * 0x100000001b3;
  return hash;
}

const Kernel& pick_kernel(const Problem& problem, const Choice& choice, const Device& device) {
  Refusal reason = refusal(FLASHDEC_UNSUPPORTED, "this build has no kernels for the backend");
  for (const Kernel& kernel : kernel_table()) {
    const Refusal why = why_not(kernel, problem, choice, device);
    if (why.code == FLASHDEC_SUCCESS) return kernel;
    // The references come last and support the most, so theirs is the reason to tell; but that a
    // row belongs to another backend or dtype says nothing.
    if (why.text[0] != '\0') reason = why;
  }
  throw reason;
}

int64_t checked_workspace_bytes(const Problem& problem, const Schedule& schedule) {
  const int64_t bytes = lay_out_workspace(problem, schedule).bytes;
  if (bytes >= kMaxWorkspaceBytes)
    refuse(FLASHDEC_INVALID_VALUE,
           "%lld splits would need a workspace of 2^60 bytes or more; a larger split_len or "
           "max_workspace_bytes makes them fewer",
           static_cast<long long>(schedule.max_splits));
  return bytes;
}

bool environment_asks_for_checks() {
  const char* text = std::getenv("FLASHDEC_CHECK");
  return text != nullptr && std::strcmp(text, "1") == 0;
}

}  // namespace

Plan make_plan(const Problem& problem, const Choice& choice, const Device& device) {
  const Kernel& kernel = pick_kernel(problem, choice, device);
  const bool cuda = kernel.backend == FLASHDEC_BACKEND_CUDA;
  Plan plan;
  std::memset(static_cast<void*>(&plan), 0, sizeof(plan));  // padding too: plans compare by memcmp
  plan.magic = kMagic;
  copy_build_id(plan.build_id, sizeof(plan.build_id));
  std::memcpy(static_cast<void*>(&plan.problem), &problem, sizeof(problem));
  std::memcpy(static_cast<void*>(&plan.choice), &choice, sizeof(choice));
  plan.schedule = make_schedule(problem, choice, kernel, device);
  plan.workspace_bytes = checked_workspace_bytes(problem, plan.schedule);
  plan.kernel = static_cast<uint32_t>(&kernel - kernel_table().rows);
  plan.device = cuda ? device.cuda.ordinal : -1;
  plan.num_threads = cuda                      ? 0
                     : choice.num_threads != 0 ? choice.num_threads
                                               : device.cpu.num_threads;
  plan.launches = cuda ? (plan.schedule.max_splits > 1 ? 2 : 1) : 0;
  plan.check_contents = environment_asks_for_checks();
  return plan;
}

void store_plan(Plan plan, flashdec_plan* target) {
  plan.checksum = checksum_of(plan);
  std::memset(target, 0, sizeof(*target));
  std::memcpy(target, &plan, sizeof(plan));
}

Plan load_plan(const flashdec_plan* source) {
  require(source, "plan");
  Plan plan;
  std::memcpy(static_cast<void*>(&plan), source, sizeof(plan));
  if (plan.magic != kMagic)
    refuse(FLASHDEC_INVALID_PLAN,
           "plan begins with 0x%016llx, not with the mark of a plan; flashdec_select makes plans",
           static_cast<unsigned long long>(plan.magic));
  uint8_t ours[sizeof(plan.build_id)];
  copy_build_id(ours, sizeof(ours));
  if (std::memcmp(plan.build_id, ours, sizeof(ours)) != 0)
    refuse(FLASHDEC_INVALID_PLAN,
           "plan was made by another build of this library (%02x%02x%02x%02x, this is "
           "%02x%02x%02x%02x); select it again",
           plan.build_id[0], plan.build_id[1], plan.build_id[2], plan.build_id[3], ours[0], ours[1],
           ours[2], ours[3]);
  if (plan.checksum != checksum_of(plan))
    refuse(FLASHDEC_INVALID_PLAN,
           "plan has been changed since flashdec_select wrote it (checksum 0x%016llx); select it "
           "again",
           static_cast<unsigned long long>(plan.checksum));
  return plan;
}

}  // namespace flashdec
