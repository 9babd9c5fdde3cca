// The few functions of Python that reading its objects takes.
#pragma once

namespace flashdec {

// Found in the process at run time: the library must load where there is no Python.
struct Interpreter {
  void* (*capsule_pointer)(void* capsule, const char* name);  // PyCapsule_GetPointer
  const char* (*capsule_name)(void* capsule);                 // PyCapsule_GetName
  void* (*make_int)(long value);                              // PyLong_FromLong
  void* (*exception)();                                       // PyErr_Occurred
  void (*clear_exception)();                                  // PyErr_Clear
  double (*number)(void* value);                              // PyFloat_AsDouble
  int (*is_true)(void* value);                                // PyObject_IsTrue
  void* (*leave_gil)();                                       // PyEval_SaveThread
  void (*take_gil)(void* thread);                             // PyEval_RestoreThread
  const void* none;                                           // Py_None
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
