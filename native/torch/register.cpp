// The exported function of flashdec_torch.h, and what stands between PyTorch and the kernels.

#include "flashdec_torch.h"

#include "core/guarded.h"
#include "torch/kernels.h"

using namespace flashdec;

namespace {

// A refusal leaves as PyTorch's exception, once nothing is left to clean up here.
template <void (*kCompute)(torch::Arguments&, torch::Results&)>
void kernel(torch::Value* stack, uint64_t, uint64_t) {
  const int32_t status = guarded([&] {
    torch::Arguments arguments(stack);
    torch::Results results(stack);
    kCompute(arguments, results);
  });
  if (status != FLASHDEC_SUCCESS)
    torch::api().check(false, "flashdec", __FILE__, __LINE__, last_error());
}

#define FLASHDEC_DECODE                                                           \
  "(Tensor q, Tensor k, Tensor v, Tensor? kv_len=None, Tensor? page_table=None, " \
  "Tensor? workspace=None, float? scale=None, bool bhsd=False, bool batch_invariant=False"
#define FLASHDEC_PLACES                                                                  \
  "Tensor(a!) k_cache, Tensor(b!) v_cache, Tensor(c!) kv_len, Tensor? page_table=None, " \
  "Tensor? new_len=None, Tensor(d!)? status=None, bool bhsd=False, bool advance=False"

struct Operator {
  const char* name;
  const char* schema;  // in the order in which the kernel takes its arguments
  torch::Kernel kernel;
};

constexpr Operator kOperators[] = {
    {"decode", "decode" FLASHDEC_DECODE ") -> Tensor", kernel<torch::decode>},
    {"decode_lse", "decode_lse" FLASHDEC_DECODE ", bool base2=False) -> (Tensor, Tensor)",
     kernel<torch::decode_lse>},
    {"append", "append(Tensor k, Tensor v, " FLASHDEC_PLACES ") -> ()", kernel<torch::append>},
    {"append_rotary",
     "append_rotary(Tensor q, Tensor k, Tensor v, Tensor cos, Tensor sin, " FLASHDEC_PLACES
     ", Tensor? positions=None, bool interleaved=False) -> Tensor",
     kernel<torch::append_rotary>},
    {"merge", "merge(Tensor o, Tensor lse, bool base2=False) -> (Tensor, Tensor)",
     kernel<torch::merge>},
};

constexpr char kNamespace[] = "flashdec";

void check(int32_t error, const char* what) {
  if (error != 0)
    refuse(FLASHDEC_INTERNAL_ERROR, "PyTorch does not take %s (error %d)", what, error);
}

// What holds a definition or a kernel is never freed: that would take them away again.
void define() {
  const torch::Api& api = torch::api();
  void* library = nullptr;
  check(api.library_def(kNamespace, __FILE__, __LINE__, &library), "the operators' library");
  for (const Operator& each : kOperators)
    check(api.define(library, each.schema), each.schema);
}

void give_kernels(const char* dispatch_key) {
  const torch::Api& api = torch::api();
  void* library = nullptr;
  check(api.library_impl(kNamespace, dispatch_key, __FILE__, __LINE__, &library), dispatch_key);
  for (const Operator& each : kOperators)
    check(api.implement(library, each.name, each.kernel), each.name);
}

}  // namespace

int32_t flashdec_torch_register(void) {
  return guarded([] {
    define();
    give_kernels("CPU");
    give_kernels("CUDA");
  });
}
