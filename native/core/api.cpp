// The exported functions.  Each is a few lines behind one exception wall.

#include <cstring>

#include "core/abi.h"
#include "core/guarded.h"
#include "core/plan.h"
#include "core/run.h"
#include "core/status.h"
#include "core/validate.h"
#include "core/workspace.h"
#include "cpu/threads.h"
#include "cuda/backend.h"
#include "flashdec.h"

using namespace flashdec;

namespace {

#define FLASHDEC_TEXT2(x) #x
#define FLASHDEC_TEXT(x) FLASHDEC_TEXT2(x)
constexpr char kVersion[] = FLASHDEC_TEXT(FLASHDEC_VERSION_MAJOR) "." FLASHDEC_TEXT(
    FLASHDEC_VERSION_MINOR) "." FLASHDEC_TEXT(FLASHDEC_VERSION_PATCH);

// CUDA facts are asked for only where a CUDA plan may come of it, so that a CPU plan neither needs
// nor wakes a driver.
Device devices_for(const Choice& choice, CUstream_st* stream) {
  Device device = {};
  if (choice.backend != FLASHDEC_BACKEND_CUDA) device.cpu = cpu_device();
  device.cuda = {-1, 0, 0, 0, 0};
  validate_stream(choice.backend == FLASHDEC_BACKEND_CPU, stream);
  if (choice.backend == FLASHDEC_BACKEND_CPU) return device;
  const bool required = choice.backend == FLASHDEC_BACKEND_CUDA || stream != nullptr;
  device.cuda = cuda::find_device(stream, required);
  return device;
}

struct Selection {
  Problem problem;
  Choice choice;
  Device device;
};

Selection selection_of(const flashdec_descriptor* desc, const flashdec_preference* preference,
                       CUstream_st* stream) {
  Selection made;
  made.problem = validate(read_struct(desc, "descriptor"));
  flashdec_preference wishes = {};
  if (preference != nullptr) wishes = read_struct(preference, "preference");
  made.choice = validate(wishes);
  if (stream != nullptr && made.choice.backend == FLASHDEC_BACKEND_ANY)
    made.choice.backend = FLASHDEC_BACKEND_CUDA;  // a CPU plan would refuse the stream
  made.device = devices_for(made.choice, stream);
  return made;
}

const Kernel& kernel_at(uint32_t index) {
  const KernelTable table = kernel_table();
  if (index >= table.count)
    refuse(FLASHDEC_INVALID_VALUE, "index is %u; the kernel table has the rows 0 to %u", index,
           table.count - 1);
  return table.rows[index];
}

flashdec_kernel_sku describe(const Kernel& kernel, bool batch_invariant) {
  flashdec_kernel_sku sku;
  std::memset(&sku, 0, sizeof(sku));
  sku.category = FLASHDEC_CATEGORY_ATTENTION;
  sku.op = FLASHDEC_OP_DECODE;
  sku.element = kernel.element;
  sku.aux_element = kernel.aux_element;
  sku.layout = kernel.layout;
  sku.epilogue = FLASHDEC_EPILOGUE_LSE;
  sku.arch = static_cast<uint32_t>(kernel.arch);
  sku.backend = kernel.backend;
  sku.guarantee = {kernel.math, FLASHDEC_FLOAT32, 1, 1, batch_invariant ? 1u : 0u};
  std::strncpy(sku.name, kernel.name, sizeof(sku.name) - 1);
  return sku;
}

flashdec_plan_facts facts_of(const Plan& plan) {
  flashdec_plan_facts facts;
  std::memset(&facts, 0, sizeof(facts));
  facts.backend = plan.row().backend;
  facts.kernel = plan.kernel;
  facts.device = plan.device;
  facts.num_threads = plan.num_threads;
  facts.launches = plan.launches;
  facts.max_splits = plan.schedule.max_splits;
  facts.split_len = plan.schedule.split_len;
  facts.tile = plan.schedule.tile;
  facts.workspace_bytes = plan.workspace_bytes;
  facts.workspace_align = kWorkspaceAlign;
  return facts;
}

}  // namespace

int32_t flashdec_select(const flashdec_descriptor* desc, const flashdec_preference* preference,
                        CUstream_st* stream, flashdec_plan* plan) {
  return guarded([&] {
    const Selection made = selection_of(desc, preference, stream);
    require(plan, "plan");
    store_plan(make_plan(made.problem, made.choice, made.device), plan);
  });
}

int32_t flashdec_use_threads(const flashdec_threads* threads) {
  return guarded([&] { cpu::use_threads(threads); });
}

int32_t flashdec_workspace_size(const flashdec_plan* plan, uint64_t* bytes, uint64_t* align) {
  return guarded([&] {
    const Plan loaded = load_plan(plan);
    require(bytes, "bytes");
    *require(align, "align") = kWorkspaceAlign;
    *bytes = static_cast<uint64_t>(loaded.workspace_bytes);
  });
}

int32_t flashdec_workspace_prepare(const flashdec_plan* plan, void* workspace, uint64_t bytes,
                                   CUstream_st* stream) {
  return guarded([&] {
    const Plan loaded = load_plan(plan);
    validate_workspace(loaded, workspace, bytes);
    validate_stream(loaded.device < 0, stream);
    if (loaded.device >= 0) cuda::prepare_workspace(workspace, bytes, loaded.device, stream);
  });
}

int32_t flashdec_can_implement(const flashdec_plan* plan, const flashdec_args* args) {
  return guarded([&] { validate(load_plan(plan), read_struct(args, "args")); });
}

int32_t flashdec_run(const flashdec_plan* plan, const flashdec_args* args, void* workspace,
                     uint64_t bytes, CUstream_st* stream) {
  return guarded([&] {
    const Plan loaded = load_plan(plan);
    run(loaded, read_struct(args, "args"), workspace, bytes, stream);
  });
}

int32_t flashdec_append(const flashdec_append_args* args, CUstream_st* stream) {
  return guarded([&] { append(read_struct(args, "args"), stream); });
}

int32_t flashdec_merge(const flashdec_merge_args* args, CUstream_st* stream) {
  return guarded([&] { merge(read_struct(args, "args"), stream); });
}

int32_t flashdec_sku(const flashdec_plan* plan, flashdec_kernel_sku* sku) {
  return guarded([&] {
    const Plan loaded = load_plan(plan);
    const bool fixed = loaded.schedule.split_len != 0;
    write_struct(describe(loaded.row(), fixed), sku, "sku");
  });
}

int32_t flashdec_plan_info(const flashdec_plan* plan, flashdec_plan_facts* facts) {
  return guarded([&] { write_struct(facts_of(load_plan(plan)), facts, "facts"); });
}

uint32_t flashdec_kernel_count(void) {
  return kernel_table().count;
}

const char* flashdec_kernel_name(uint32_t index) {
  const KernelTable table = kernel_table();
  return index < table.count ? table.rows[index].name : nullptr;
}

int32_t flashdec_kernel_info(uint32_t index, flashdec_kernel_sku* sku) {
  return guarded([&] { write_struct(describe(kernel_at(index), true), sku, "sku"); });
}

int32_t flashdec_kernel_supports(uint32_t index, const flashdec_descriptor* desc,
                                 const flashdec_preference* preference, CUstream_st* stream) {
  return guarded([&] {
    const Kernel& kernel = kernel_at(index);
    const Selection made = selection_of(desc, preference, stream);
    const Refusal why = explain(kernel, made.problem, made.choice, made.device);
    if (why.code != FLASHDEC_SUCCESS) throw why;
  });
}

const char* flashdec_version(void) {
  return kVersion;
}

uint32_t flashdec_abi_version(void) {
  return FLASHDEC_ABI_VERSION;
}

const char* flashdec_status_string(int32_t status) {
  return status_string(status);
}

const char* flashdec_last_error(void) {
  return last_error();
}
