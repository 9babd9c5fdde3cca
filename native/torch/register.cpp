// The exported functions of flashdec_torch.h, and what stands between PyTorch and the kernels.

#include "flashdec_torch.h"

#include <cstring>

#include "core/guarded.h"
#include "core/interpreter.h"
#include "torch/calls.h"
#include "torch/python.h"
#include "torch/stack.h"

using namespace flashdec;

namespace {

// Not inlined, because of `kernel`.
template <class Call>
__attribute__((noinline)) int32_t compute(torch::Value* stack) noexcept {
  return guarded([&] {
    torch::StackArguments arguments(stack);
    const Call call(arguments);
    torch::Results results;
    call.compute(&results);
    torch::push(&results, stack);
  });
}

// A refusal leaves as PyTorch's exception.  Nothing is caught or cleaned up here: the library may
// have a C++ run time of its own, whose handlers cannot read the frames that PyTorch's unwinds.
template <class Call>
void kernel(torch::Value* stack, uint64_t, uint64_t) {
  if (compute<Call>(stack) != FLASHDEC_SUCCESS)
    torch::api().check(false, "flashdec", __FILE__, __LINE__, last_error());
}

// The way around PyTorch's dispatcher.  Whatever it does not do is left to `operation`.
template <class Call, const char* kSchema>
void* method(void* operation, void* const* objects, int64_t count, void* keywords) {
  torch::Results results;
  const int32_t status = guarded([&] {
    if (torch::is_listened_to()) refuse(FLASHDEC_UNSUPPORTED, "somebody has to see this call");
    static const torch::Parameters parameters(kSchema);
    torch::PythonArguments arguments(parameters, objects, count, keywords);
    const Call call(arguments);
    const WithoutGil released;
    call.compute(&results);
  });
  if (status == FLASHDEC_SUCCESS) return torch::as_object(results);
  const Interpreter* python = nullptr;
  guarded([&] { python = &interpreter(); });
  if (python == nullptr) return nullptr;
  if (python->exception() != nullptr) python->clear_exception();
  return torch::call(operation, objects, count, keywords);
}

#define FLASHDEC_DECODE                                                           \
  "(Tensor q, Tensor k, Tensor v, Tensor? kv_len=None, Tensor? page_table=None, " \
  "Tensor? workspace=None, float? scale=None, bool bhsd=False, bool batch_invariant=False"
#define FLASHDEC_PLACES                                                                  \
  "Tensor(a!) k_cache, Tensor(b!) v_cache, Tensor(c!) kv_len, Tensor? page_table=None, " \
  "Tensor? new_len=None, Tensor(d!)? status=None, bool bhsd=False, bool advance=False"

constexpr char kDecode[] = "decode" FLASHDEC_DECODE ") -> Tensor";
constexpr char kDecodeLse[] =
    "decode_lse" FLASHDEC_DECODE ", bool base2=False) -> (Tensor, Tensor)";
constexpr char kAppend[] = "append(Tensor k, Tensor v, " FLASHDEC_PLACES ") -> ()";
constexpr char kAppendRotary[] =
    "append_rotary(Tensor q, Tensor k, Tensor v, Tensor cos, Tensor sin, " FLASHDEC_PLACES
    ", Tensor? positions=None, bool interleaved=False) -> Tensor";
constexpr char kMerge[] = "merge(Tensor o, Tensor lse, bool base2=False) -> (Tensor, Tensor)";

struct Operator {
  const char* name;
  const char* schema;  // in the order in which the call takes its arguments
  torch::Kernel kernel;
  flashdec_python_method method;
};

template <class Call, const char* kSchema>
constexpr Operator operator_of(const char* name) {
  return {name, kSchema, kernel<Call>, method<Call, kSchema>};
}

constexpr Operator kOperators[] = {
    operator_of<torch::Decode, kDecode>("decode"),
    operator_of<torch::DecodeLse, kDecodeLse>("decode_lse"),
    operator_of<torch::Append, kAppend>("append"),
    operator_of<torch::AppendRotary, kAppendRotary>("append_rotary"),
    operator_of<torch::Merge, kMerge>("merge"),
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

flashdec_python_method flashdec_torch_method(const char* name) {
  for (const Operator& each : kOperators)
    if (name != nullptr && std::strcmp(each.name, name) == 0) return each.method;
  return nullptr;
}
