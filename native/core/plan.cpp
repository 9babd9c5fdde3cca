#include "core/plan.h"

#include <cstring>

#include "core/abi.h"
#include "core/schedule.h"
#include "core/status.h"
#include "core/validate.h"
#include "core/workspace.h"

namespace flashdec {
namespace {

constexpr uint64_t kMagic = 0x6e616c7064736c66;  // "flsdplan"

// FNV-1a over 8-byte words: catches stray writes, not adversaries.  Every fourth word is in the
// same chain, so that four multiplications are under way at a time; `plan.checksum` must be 0.
uint64_t checksum_of(const Plan& plan) {
  constexpr uint64_t kBasis = 0xcbf29ce484222325, kPrime = 0x100000001b3;
  uint64_t chains[4] = {kBasis, kBasis + 1, kBasis + 2, kBasis + 3};
  for (size_t at = 0; at < sizeof(plan); at += sizeof(chains)) {
    uint64_t words[4];
    std::memcpy(words, reinterpret_cast<const unsigned char*>(&plan) + at, sizeof(words));
    for (int i = 0; i < 4; ++i)
      chains[i] = (chains[i] ^ words[i]) * kPrime;
  }
  uint64_t hash = kBasis;
  for (uint64_t chain : chains)
    hash = (hash ^ chain) * kPrime;
  return hash;
}

void check_build(const BuildId& theirs) {
  const BuildId& ours = build_id();
  if (std::memcmp(&theirs, &ours, sizeof(ours)) == 0) return;
  const uint8_t *a = theirs.bytes, *b = ours.bytes;
  refuse(FLASHDEC_INVALID_PLAN,
         "plan was made by another build of this library (%02x%02x%02x%02x, this is "
         "%02x%02x%02x%02x); select it again",
         a[0], a[1], a[2], a[3], b[0], b[1], b[2], b[3]);
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

// A grid that shares units itself needs no second launch where the workspace is prepared.
uint32_t launches_of(const Schedule& schedule) {
  return schedule.max_splits > 1 && schedule.grid == 0 ? 2 : 1;
}

}  // namespace

Plan make_plan(const Problem& problem, const Choice& choice, const Device& device) {
  const Kernel& kernel = pick_kernel(problem, choice, device);
  const bool cuda = kernel.backend == FLASHDEC_BACKEND_CUDA;
  Plan plan;
  std::memset(static_cast<void*>(&plan), 0, sizeof(plan));  // padding too: plans compare by memcmp
  plan.magic = kMagic;
  plan.build = build_id();
  std::memcpy(static_cast<void*>(&plan.problem), &problem, sizeof(problem));
  std::memcpy(static_cast<void*>(&plan.choice), &choice, sizeof(choice));
  plan.schedule = make_schedule(problem, choice, kernel, device);
  plan.workspace_bytes = checked_workspace_bytes(problem, plan.schedule);
  plan.kernel = static_cast<uint32_t>(&kernel - kernel_table().rows);
  plan.device = cuda ? device.cuda.ordinal : -1;
  plan.num_threads = cuda                      ? 0
                     : choice.num_threads != 0 ? choice.num_threads
                                               : device.cpu.num_threads;
  plan.launches = cuda ? launches_of(plan.schedule) : 0;
  plan.check_contents = checks_contents();
  return plan;
}

void store_plan(Plan plan, flashdec_plan* target) {
  plan.checksum = 0;
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
  check_build(plan.build);
  const uint64_t written = plan.checksum;
  plan.checksum = 0;
  if (checksum_of(plan) != written)
    refuse(FLASHDEC_INVALID_PLAN,
           "plan has been changed since flashdec_select wrote it (checksum 0x%016llx); select it "
           "again",
           static_cast<unsigned long long>(written));
  plan.checksum = written;
  return plan;
}

}  // namespace flashdec
