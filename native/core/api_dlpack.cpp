// The exported functions of flashdec_dlpack.h.

#include "core/abi.h"
#include "core/array.h"
#include "core/guarded.h"
#include "core/plan.h"
#include "core/validate_arrays.h"
#include "flashdec_dlpack.h"

using namespace flashdec;

namespace {

// Reads what is there with `read(i, name)`, checks it and fills *args; all or nothing.
template <class IsThere, class Read>
void bind(const Plan& plan, uint32_t axes, IsThere is_there, Read read, flashdec_args* args) {
  flashdec_args filled = read_struct(args, "args");
  Array storage[FLASHDEC_OPERAND_COUNT];
  Arrays arrays = {};
  for (int i = 0; i < FLASHDEC_OPERAND_COUNT; ++i) {
    if (!is_there(i)) continue;
    storage[i] = read(i, operand_name(i));
    arrays.of[i] = &storage[i];
  }
  bind_arrays(plan, axes, arrays, &filled);
  write_struct(filled, args, "args");
}

}  // namespace

int32_t flashdec_args_from_dlpack(const flashdec_plan* plan, uint32_t axes,
                                  const DLTensor* const* tensors, flashdec_args* args) {
  return guarded([&] {
    const Plan loaded = load_plan(plan);
    require(tensors, "tensors");
    bind(
        loaded, axes, [&](int i) { return tensors[i] != nullptr; },
        [&](int i, const char* name) { return read_tensor(tensors[i], name); }, args);
  });
}

int32_t flashdec_args_from_objects(const flashdec_plan* plan, uint32_t axes,
                                   const flashdec_object* objects, flashdec_args* args,
                                   CUstream_st** stream) {
  return guarded([&] {
    const Plan loaded = load_plan(plan);
    require(objects, "objects");
    bind(
        loaded, axes, [&](int i) { return objects[i].object != nullptr; },
        [&](int i, const char* name) { return read_object(objects[i], name); }, args);
    if (stream != nullptr && loaded.device >= 0)
      current_stream(*objects[FLASHDEC_OPERAND_Q].reader, loaded.device, stream);
  });
}

int32_t flashdec_read_object(const flashdec_object* object, const char* name,
                             flashdec_array* array) {
  return guarded([&] {
    const Array read = read_object(*require(object, "object"), require(name, "name"));
    write_struct(read, array, "array");
  });
}
