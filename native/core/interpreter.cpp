#include "core/interpreter.h"

#include <dlfcn.h>

#include "core/status.h"

namespace flashdec {
namespace {

template <class Pointer>
void find(Pointer& target, const char* name) {
  target = reinterpret_cast<Pointer>(dlsym(RTLD_DEFAULT, name));
  if (target == nullptr)
    refuse(FLASHDEC_INVALID_VALUE,
           "this process has no %s; Python's objects can be read where Python runs only", name);
}

Interpreter find_interpreter() {
  Interpreter found;
  find(found.capsule_pointer, "PyCapsule_GetPointer");
  find(found.capsule_name, "PyCapsule_GetName");
  find(found.make_int, "PyLong_FromLong");
  find(found.make_tuple, "PyTuple_Pack");
  find(found.type, "PyObject_Type");
  find(found.intern, "PyUnicode_InternFromString");
  find(found.attribute, "PyObject_GetAttr");
  find(found.tuple_size, "PyTuple_Size");
  find(found.tuple_item, "PyTuple_GetItem");
  find(found.address, "PyLong_AsVoidPtr");
  find(found.keep, "Py_IncRef");
  find(found.release, "Py_DecRef");
  find(found.exception, "PyErr_Occurred");
  find(found.clear_exception, "PyErr_Clear");
  find(found.number, "PyFloat_AsDouble");
  find(found.make_dict, "PyDict_New");
  find(found.put, "PyDict_SetItem");
  find(found.call, "PyObject_VectorcallDict");
  find(found.leave_gil, "PyEval_SaveThread");
  find(found.take_gil, "PyEval_RestoreThread");
  find(found.none, "_Py_NoneStruct");
  find(found.truth, "_Py_TrueStruct");
  find(found.falsehood, "_Py_FalseStruct");
  return found;
}

}  // namespace

const Interpreter& interpreter() {
  static const Interpreter found = find_interpreter();
  return found;
}

}  // namespace flashdec
