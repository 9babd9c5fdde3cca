// The few functions of Python that reading its objects takes.
#pragma once

#include <cstddef>
#include <cstdint>

namespace flashdec {

// Found in the process at run time: the library must load where there is no Python.
struct Interpreter {
  void* (*capsule_pointer)(void* capsule, const char* name);  // PyCapsule_GetPointer
  const char* (*capsule_name)(void* capsule);                 // PyCapsule_GetName
  void* (*make_int)(long value);                              // PyLong_FromLong
  void* (*make_tuple)(intptr_t count, ...);                   // PyTuple_Pack
  void* (*type)(void* object);                                // PyObject_Type
  void* (*intern)(const char* name);                          // PyUnicode_InternFromString
  void* (*attribute)(void* object, void* name);               // PyObject_GetAttr
  void (*keep)(void* object);                                 // Py_IncRef
  void (*release)(void* object);                              // Py_DecRef
  void* (*exception)();                                       // PyErr_Occurred
  void (*clear_exception)();                                  // PyErr_Clear
  intptr_t (*tuple_size)(void* tuple);                        // PyTuple_Size
  void* (*tuple_item)(void* tuple, intptr_t index);           // PyTuple_GetItem
  void* (*address)(void* number);                             // PyLong_AsVoidPtr
  double (*number)(void* value);                              // PyFloat_AsDouble
  void* (*make_dict)();                                       // PyDict_New
  int (*put)(void* dict, void* key, void* value);             // PyDict_SetItem
  void* (*call)(void* callable, void* const* arguments, size_t count,
                void* keywords);   // PyObject_VectorcallDict
  void* (*leave_gil)();            // PyEval_SaveThread
  void (*take_gil)(void* thread);  // PyEval_RestoreThread
  void* none;                      // Py_None
  void* truth;                     // Py_True
  void* falsehood;                 // Py_False
};

// Refuses if the process has no Python.
const Interpreter& interpreter();

// Lets Python's other threads run meanwhile.
class WithoutGil {
 public:
  WithoutGil() : thread_(interpreter().leave_gil()) {}
  ~WithoutGil() { interpreter().take_gil(thread_); }
  WithoutGil(const WithoutGil&) = delete;
  WithoutGil& operator=(const WithoutGil&) = delete;

 private:
  void* thread_;
};

}  // namespace flashdec
