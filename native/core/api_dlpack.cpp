// The exported functions of flashdec_dlpack.h.

#include "core/abi.h"
#include "core/array.h"
#include "core/checks.h"
#include "core/guarded.h"
#include "core/plan.h"
#include "core/run.h"
#include "core/validate_arrays.h"
#include "flashdec_dlpack.h"

using namespace flashdec;

namespace {

void read(const flashdec_object& object, const char* name, Array* array) {
  read_object(object, name, array);
}
void read(const DLTensor* tensor, const char* name, Array* array) {
  read_tensor(*tensor, name, array);
}

bool is_there(const flashdec_object& object) {
  return object.object != nullptr;
}
bool is_there(const DLTensor* tensor) {
  return tensor != nullptr;
}

// Reads the operands that are there, checks them and fills pointers and strides of `args`.
template <class Operand>
void bind(const Plan& plan, uint32_t axes, const Operand* operands, flashdec_args* args) {
  Array storage[FLASHDEC_OPERAND_COUNT];
  Arrays arrays = {};
  for (int i = 0; i < FLASHDEC_OPERAND_COUNT; ++i) {
    if (!is_there(operands[i])) continue;
    read(operands[i], operand_name(i), &storage[i]);
    arrays.of[i] = &storage[i];
  }
  bind_arrays(plan, axes, arrays, args);
}

// Lets Python's other threads run meanwhile.
class WithoutGil {
 public:
  explicit WithoutGil(const flashdec_objects& given)
      : take_(given.take_gil), thread_(given.leave_gil != nullptr ? given.leave_gil() : nullptr) {}
  ~WithoutGil() {
    if (thread_ != nullptr) take_(thread_);
  }
  WithoutGil(const WithoutGil&) = delete;
  WithoutGil& operator=(const WithoutGil&) = delete;

 private:
  void (*take_)(void*);
  void* thread_;
};

}  // namespace

int32_t flashdec_args_from_dlpack(const flashdec_plan* plan, uint32_t axes,
                                  const DLTensor* const* tensors, flashdec_args* args) {
  return guarded([&] {
    const Plan loaded = load_plan(plan);
    require(tensors, "tensors");
    flashdec_args filled = read_struct(args, "args");
    bind(loaded, axes, tensors, &filled);
    write_struct(filled, args, "args");
  });
}

int32_t flashdec_args_from_objects(const flashdec_plan* plan, uint32_t axes,
                                   const flashdec_object* objects, flashdec_args* args,
                                   CUstream_st** stream) {
  return guarded([&] {
    const Plan loaded = load_plan(plan);
    require(objects, "objects");
    flashdec_args filled = read_struct(args, "args");
    bind(loaded, axes, objects, &filled);
    write_struct(filled, args, "args");
    if (stream != nullptr && loaded.device >= 0)
      current_stream(*objects[FLASHDEC_OPERAND_Q].reader, loaded.device, stream);
  });
}

int32_t flashdec_run_objects(const flashdec_objects* objects) {
  return guarded([&] {
    const flashdec_objects given = read_struct(objects, "objects");
    const Plan loaded = load_plan(given.plan);
    check_flags("objects->reserved", given.reserved, 0);
    if (given.leave_gil != nullptr) require(given.take_gil, "objects->take_gil");
    flashdec_args args = {};
    args.flags = given.flags;
    args.uniform_kv_len = given.uniform_kv_len;
    bind(loaded, given.axes, given.operands, &args);
    CUstream_st* stream = given.stream;
    if (stream == nullptr && loaded.device >= 0)
      current_stream(*given.operands[FLASHDEC_OPERAND_Q].reader, loaded.device, &stream);
    const WithoutGil released(given);
    run(loaded, args, given.workspace, given.workspace_bytes, stream);
  });
}

int32_t flashdec_read_object(const flashdec_object* object, const char* name,
                             flashdec_array* array) {
  return guarded([&] {
    Array read = {};
    read_object(*require(object, "object"), require(name, "name"), &read);
    write_struct(read, array, "array");
  });
}
