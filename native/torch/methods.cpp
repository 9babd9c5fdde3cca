// The operators' kernels as methods of Python: the way around PyTorch's dispatcher.

#include "core/array_checks.h"
#include "core/bind_append.h"
#include "core/guarded.h"
#include "core/interpreter.h"
#include "core/run.h"
#include "flashdec_torch.h"
#include "torch/attend.h"

using namespace flashdec;

namespace {

// What Python gives a method of METH_FASTCALL.
class Given {
 public:
  Given(void* self, void* const* arguments, int64_t count, int64_t wanted)
      : reader_(static_cast<const flashdec_object_reader*>(
            interpreter().capsule_pointer(self, "flashdec_object_reader"))),
        arguments_(arguments) {
    if (reader_ == nullptr)
      refuse(FLASHDEC_INVALID_VALUE, "the method is not that of a flashdec_object_reader");
    if (count != wanted)
      refuse(FLASHDEC_INVALID_VALUE, "%lld arguments are given; it takes %lld",
             static_cast<long long>(count), static_cast<long long>(wanted));
  }

  // Null where it is None.
  const Array* array(int index, const char* name, Array* storage) const {
    if (arguments_[index] == interpreter().none) return nullptr;
    read_object({reader_, arguments_[index]}, name, storage);
    return storage;
  }

  bool flag(int index) const {
    const int truth = interpreter().is_true(arguments_[index]);
    if (truth < 0) refuse(FLASHDEC_INVALID_VALUE, "argument %d is neither true nor false", index);
    return truth != 0;
  }

  float number(int index, float otherwise) const {
    if (arguments_[index] == interpreter().none) return otherwise;
    const double value = interpreter().number(arguments_[index]);
    if (value == -1.0 && interpreter().exception() != nullptr)
      refuse(FLASHDEC_INVALID_VALUE, "argument %d is not a number", index);
    return static_cast<float>(value);
  }

  CUstream_st* stream(const Array& first) const {
    CUstream_st* stream = nullptr;
    const int32_t device = checked_cuda_device("the first tensor", first);
    if (device >= 0) current_stream(*reader_, device, &stream);
    return stream;
  }

 private:
  const flashdec_object_reader* reader_;
  void* const* arguments_;
};

uint32_t axes_of(bool bhsd) {
  return bhsd ? FLASHDEC_AXES_BHSD : FLASHDEC_AXES_BSHD;
}

// The status as an int of Python's.  Exceptions of its own are dropped: whoever calls asks the
// operator then, which says what is wrong.
template <class Body>
void* answer(Body body) {
  const int32_t status = guarded(body);
  void* result = nullptr;
  guarded([&] {
    const Interpreter& python = interpreter();
    if (status != FLASHDEC_SUCCESS && python.exception() != nullptr) python.clear_exception();
    result = python.make_int(status);
  });
  return result;
}

torch::Scratch scratch_for(const Plan& plan, const Given& given, int index, const Array& q) {
  torch::Scratch scratch;
  if (torch::needs_no_workspace(plan, &scratch)) return scratch;
  Array storage;
  const Array* workspace = given.array(index, "workspace", &storage);
  if (workspace == nullptr)
    refuse(FLASHDEC_WORKSPACE_TOO_SMALL, "workspace is None; this plan needs %lld bytes",
           static_cast<long long>(plan.workspace_bytes));
  return torch::scratch_of(*workspace, q);
}

}  // namespace

void* flashdec_torch_decode_method(void* self, void* const* arguments, int64_t count) {
  return answer([&] {
    const Given given(self, arguments, count, FLASHDEC_OPERAND_STATUS + 5);
    Array storage[FLASHDEC_OPERAND_COUNT];
    Arrays arrays = {};
    for (int i = 0; i < FLASHDEC_OPERAND_STATUS; ++i)
      arrays.of[i] = given.array(i, operand_name(i), &storage[i]);
    for (int i = 0; i <= FLASHDEC_OPERAND_O; ++i)
      if (arrays.of[i] == nullptr)
        refuse(FLASHDEC_NULL_POINTER, "%s is None; it is required", operand_name(i));
    constexpr int kOptions = FLASHDEC_OPERAND_STATUS;
    torch::DecodeOptions options;
    options.scale = given.number(kOptions + 1, 0.0f);
    options.axes = axes_of(given.flag(kOptions + 2));
    options.batch_invariant = given.flag(kOptions + 3);
    options.flags = given.flag(kOptions + 4) ? FLASHDEC_ARGS_BASE2 : 0;
    const Array& q = *arrays.of[FLASHDEC_OPERAND_Q];
    const Plan& plan = torch::plan_of(arrays, options);
    const torch::Scratch scratch = scratch_for(plan, given, kOptions, q);
    CUstream_st* const stream = given.stream(q);
    const WithoutGil released;
    torch::attend(plan, arrays, options, scratch, stream);
  });
}

void* flashdec_torch_append_method(void* self, void* const* arguments, int64_t count) {
  return answer([&] {
    const Given given(self, arguments, count, FLASHDEC_APPEND_OPERAND_COUNT + 3);
    Array storage[FLASHDEC_APPEND_OPERAND_COUNT];
    AppendArrays arrays = {};
    for (int i = 0; i < FLASHDEC_APPEND_OPERAND_COUNT; ++i)
      arrays.of[i] = given.array(i, append_operand_name(i), &storage[i]);
    constexpr int kOptions = FLASHDEC_APPEND_OPERAND_COUNT;
    flashdec_append_args args = {};
    args.struct_size = sizeof(args);
    args.flags = (given.flag(kOptions + 1) ? FLASHDEC_APPEND_ADVANCE : 0) |
                 (given.flag(kOptions + 2) ? FLASHDEC_APPEND_INTERLEAVED : 0);
    bind_append(axes_of(given.flag(kOptions)), arrays, &args);
    CUstream_st* const stream = given.stream(*arrays.of[FLASHDEC_APPEND_OPERAND_K]);
    const WithoutGil released;
    append(args, stream);
  });
}
