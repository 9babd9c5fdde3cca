// The exported functions of flashdec_dlpack.h.

#include "core/abi.h"
#include "core/array.h"
#include "core/bind_append.h"
#include "core/bind_merge.h"
#include "core/checks.h"
#include "core/guarded.h"
#include "core/interpreter.h"
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

// The arguments of one call: its arrays, or what the caller has filled in.
flashdec_args args_of(const flashdec_objects& given, const Plan& plan) {
  if (given.args == nullptr) {
    flashdec_args args = {};
    args.flags = given.flags;
    args.uniform_kv_len = given.uniform_kv_len;
    bind(plan, given.axes, given.operands, &args);
    return args;
  }
  if (given.axes != 0 || given.flags != 0 || given.uniform_kv_len != 0)
    refuse(FLASHDEC_INVALID_VALUE,
           "objects has axes %u, flags 0x%x and uniform_kv_len %lld; they must be 0 where args is "
           "given",
           given.axes, given.flags, static_cast<long long>(given.uniform_kv_len));
  for (int i = 0; i < FLASHDEC_OPERAND_COUNT; ++i)
    if (is_there(given.operands[i]))
      refuse(FLASHDEC_INVALID_VALUE, "%s is given as an object, and args too; it must be NULL then",
             operand_name(i));
  return read_struct(given.args, "args");
}

CUstream_st* stream_of(const flashdec_objects& given, const Plan& plan) {
  CUstream_st* stream = given.stream;
  const flashdec_object_reader* q = given.operands[FLASHDEC_OPERAND_Q].reader;
  if (stream == nullptr && plan.device >= 0 && q != nullptr)
    current_stream(*q, plan.device, &stream);
  return stream;
}

flashdec_append_args args_of(const flashdec_append_call& call) {
  Array storage[FLASHDEC_APPEND_OPERAND_COUNT];
  AppendArrays arrays = {};
  for (int i = 0; i < FLASHDEC_APPEND_OPERAND_COUNT; ++i) {
    if (!is_there(call.operands[i])) continue;
    read_object(call.operands[i], append_operand_name(i), &storage[i]);
    arrays.of[i] = &storage[i];
  }
  flashdec_append_args args = {};
  args.struct_size = sizeof(args);
  args.flags = call.flags;
  args.num_threads = call.num_threads;
  args.uniform_kv_len = call.uniform_kv_len;
  bind_append(call.axes, arrays, &args);
  return args;
}

flashdec_merge_args args_of(const flashdec_merge_call& call) {
  check_flags("call->reserved", call.reserved, 0);
  const MergePairs pairs = {is_there(call.operands[FLASHDEC_MERGE_OPERAND_OTHER_O]),
                            is_there(call.operands[FLASHDEC_MERGE_OPERAND_OTHER_LSE])};
  Array storage[FLASHDEC_MERGE_OPERAND_COUNT];
  MergeArrays arrays = {};
  for (int i = 0; i < FLASHDEC_MERGE_OPERAND_COUNT; ++i) {
    if (!is_there(call.operands[i])) continue;
    read_object(call.operands[i], merge_operand_name(i, pairs), &storage[i]);
    arrays.of[i] = &storage[i];
  }
  flashdec_merge_args args = {};
  args.struct_size = sizeof(args);
  args.flags = call.flags;
  args.num_threads = call.num_threads;
  bind_merge(arrays, &args);
  return args;
}

// The caller's, or the current one of the library of the object that gives the device.
template <class Args>
CUstream_st* stream_of(CUstream_st* given, const Args& args, const flashdec_object& first) {
  if (given == nullptr && args.backend == FLASHDEC_BACKEND_CUDA)
    current_stream(*first.reader, args.device, &given);
  return given;
}

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
    const flashdec_args args = args_of(given, loaded);
    CUstream_st* stream = stream_of(given, loaded);
    const WithoutGil released;
    run(loaded, args, given.workspace, given.workspace_bytes, stream);
  });
}

void* flashdec_run_method(void* capsule, void*) {
  void* result = nullptr;
  guarded([&] {
    const Interpreter& python = interpreter();
    const void* objects = python.capsule_pointer(capsule, "flashdec_objects");
    if (objects == nullptr) return;
    const int32_t status = flashdec_run_objects(static_cast<const flashdec_objects*>(objects));
    // Python may have set an exception of its own while it read an array.
    if (status != FLASHDEC_SUCCESS && python.exception() != nullptr) return;
    result = python.make_int(status);
  });
  return result;
}

int32_t flashdec_append_objects(const flashdec_append_call* call) {
  return guarded([&] {
    const flashdec_append_call given = read_struct(call, "call");
    const flashdec_append_args args = args_of(given);
    CUstream_st* stream = stream_of(given.stream, args, given.operands[FLASHDEC_APPEND_OPERAND_K]);
    const WithoutGil released;
    append(args, stream);
  });
}

int32_t flashdec_merge_objects(const flashdec_merge_call* call) {
  return guarded([&] {
    const flashdec_merge_call given = read_struct(call, "call");
    const flashdec_merge_args args = args_of(given);
    CUstream_st* stream =
        stream_of(given.stream, args, given.operands[FLASHDEC_MERGE_OPERAND_PART_O]);
    const WithoutGil released;
    merge(args, stream);
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
