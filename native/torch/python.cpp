#include "torch/python.h"

#include <atomic>

#include "core/interpreter.h"
#include "core/status.h"
#include "torch/symbols.h"

namespace flashdec::torch {
namespace {

// C++ functions that PyTorch exports, and its class Tensor.
struct PythonApi {
  void* (*wrap)(Handle);            // THPVariable_Wrap(const at::TensorBase&)
  void* const* tensor_type;         // THPVariableClass
  int64_t (*dispatch_modes)();      // c10::impl::TorchDispatchModeTLS::stack_len()
  int64_t (*function_modes)();      // at::impl::PythonTorchFunctionTLS::stack_len()
  void* const* (*tracing_state)();  // torch::jit::tracer::getTracingState(), a shared_ptr
  bool (*has_callbacks)();          // at::hasCallbacks(): a profiler's or another's, of any call
  bool (*is_negated)(Handle);       // at::native::is_neg(const at::Tensor&)
  void* cdata;                      // the name of Tensor._cdata: the address of the implementation
};

PythonApi find_python_api() {
  void* const library = loaded("libtorch_python.so");
  if (library == nullptr)
    refuse(FLASHDEC_UNSUPPORTED, "this process has not loaded libtorch_python.so");
  PythonApi found;
  find(library, found.wrap, "_Z16THPVariable_WrapRKN2at10TensorBaseE");
  find(library, found.tensor_type, "THPVariableClass");
  find(library, found.dispatch_modes, "_ZN3c104impl20TorchDispatchModeTLS9stack_lenEv");
  find(library, found.function_modes, "_ZN2at4impl22PythonTorchFunctionTLS9stack_lenEv");
  find(library, found.tracing_state, "_ZN5torch3jit6tracer15getTracingStateEv");
  find(library, found.has_callbacks, "_ZN2at12hasCallbacksEv");
  find(library, found.is_negated, "_ZN2at6native6is_negERKNS_6TensorE");
  found.cdata = interpreter().intern("_cdata");
  return found;
}

const PythonApi& python_api() {
  static const PythonApi found = find_python_api();
  return found;
}

bool is_tensor(void* object) {
  void* const type = interpreter().type(object);
  interpreter().release(type);
  return type == *python_api().tensor_type;
}

// What Tensor._cdata says: the address of the implementation.
void* told_implementation(void* tensor) {
  void* const number = interpreter().attribute(tensor, python_api().cdata);
  if (number == nullptr) refuse(FLASHDEC_INTERNAL_ERROR, "a tensor has no _cdata");
  void* const impl = interpreter().address(number);
  interpreter().release(number);
  return impl;
}

constexpr int64_t kWord = sizeof(void*);
constexpr int64_t kHead = 2 * kWord;  // PyObject_HEAD, or the beginning of it
constexpr int32_t kDlCpu = 1;

void* word_at(const void* object, int64_t offset) {
  return *reinterpret_cast<void* const*>(static_cast<const char*>(object) + offset);
}

// Where it stands in an object of Tensor, which is the same for all of a process: found by one that
// is made for it.  0: not found.
int64_t find_offset() {
  const int64_t one = 1;
  Array like = {}, array;
  like.device_type = kDlCpu;
  const Tensor tensor = make_bytes(like, one, &array);
  void* const object = python_api().wrap(tensor.handle());
  void* const impl = told_implementation(object);
  int64_t offset = 0;
  for (int64_t at = kHead; at < kHead + 4 * kWord && offset == 0; at += kWord)
    if (word_at(object, at) == impl) offset = at;
  interpreter().release(object);
  return offset;
}

void* implementation_of(void* tensor) {
  // No static that is made once: whoever waits for it might hold the interpreter's lock, which the
  // making of an object may give up.
  static std::atomic<int64_t> known{-1};
  int64_t offset = known.load(std::memory_order_relaxed);
  if (offset < 0) known.store(offset = find_offset(), std::memory_order_relaxed);
  return offset != 0 ? word_at(tensor, offset) : told_implementation(tensor);
}

}  // namespace

PythonArguments::PythonArguments(const Parameters& parameters, void* const* objects, int64_t count,
                                 void* keywords) {
  if (count > parameters.count())
    refuse(FLASHDEC_INVALID_VALUE, "%lld arguments are given; the operator takes %d",
           static_cast<long long>(count), parameters.count());
  for (int64_t i = 0; i < count; ++i)
    given_[i] = objects[i];
  const Interpreter& python = interpreter();
  const intptr_t named = keywords == nullptr ? 0 : python.tuple_size(keywords);
  for (intptr_t i = 0; i < named; ++i) {
    const int place = parameters.find(python.tuple_item(keywords, i));
    if (place < 0 || given_[place] != nullptr)
      refuse(FLASHDEC_INVALID_VALUE, "keyword %lld is unknown, or given twice",
             static_cast<long long>(i));
    given_[place] = objects[count + i];
  }
}

// Every default of the schemas is None or False.
bool PythonArguments::next_is_none() const {
  return given_[taken_] == nullptr || given_[taken_] == interpreter().none;
}

Tensor PythonArguments::tensor() {
  void* const object = take();
  if (object == nullptr) refuse(FLASHDEC_INVALID_VALUE, "argument %d is missing", taken_);
  if (!is_tensor(object)) refuse(FLASHDEC_UNSUPPORTED, "argument %d is not a Tensor", taken_);
  void** const impl = &impls_[taken_ - 1];
  *impl = implementation_of(object);
  if (python_api().is_negated(impl))
    refuse(FLASHDEC_UNSUPPORTED, "argument %d is part of a conjugate", taken_);
  return Tensor::borrow(impl);
}

Tensor PythonArguments::optional_tensor() {
  if (!next_is_none()) return tensor();
  ++taken_;
  return Tensor();
}

double PythonArguments::optional_number(double otherwise) {
  const bool none = next_is_none();
  void* const object = take();
  if (none) return otherwise;
  const double value = interpreter().number(object);
  if (value == -1.0 && interpreter().exception() != nullptr)
    refuse(FLASHDEC_INVALID_VALUE, "argument %d is not a number", taken_);
  return value;
}

bool PythonArguments::flag() {
  void* const object = take();
  if (object == nullptr) return false;
  const Interpreter& python = interpreter();
  if (object != python.truth && object != python.falsehood)
    refuse(FLASHDEC_UNSUPPORTED, "argument %d is neither True nor False", taken_);
  return object == python.truth;
}

bool is_listened_to() {
  const PythonApi& torch = python_api();
  return torch.dispatch_modes() != 0 || torch.function_modes() != 0 ||
         *torch.tracing_state() != nullptr || torch.has_callbacks();
}

void* call(void* callable, void* const* objects, int64_t count, void* keywords) {
  const Interpreter& python = interpreter();
  const intptr_t named = keywords == nullptr ? 0 : python.tuple_size(keywords);
  if (named == 0) return python.call(callable, objects, static_cast<size_t>(count), nullptr);
  void* const values = python.make_dict();
  if (values == nullptr) return nullptr;
  bool all = true;
  for (intptr_t i = 0; i < named && all; ++i)
    all = python.put(values, python.tuple_item(keywords, i), objects[count + i]) == 0;
  void* const result =
      all ? python.call(callable, objects, static_cast<size_t>(count), values) : nullptr;
  python.release(values);
  return result;
}

void* as_object(const Results& results) {
  const Interpreter& python = interpreter();
  if (results.count == 0) {
    python.keep(python.none);
    return python.none;
  }
  void* const first = python_api().wrap(results.of[0].handle());
  if (results.count == 1 || first == nullptr) return first;
  void* const second = python_api().wrap(results.of[1].handle());
  void* const pair = second != nullptr ? python.make_tuple(2, first, second) : nullptr;
  python.release(first);
  if (second != nullptr) python.release(second);
  return pair;
}

}  // namespace flashdec::torch
