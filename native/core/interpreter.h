// The few functions of Python that reading its objects takes.
#pragma once

namespace flashdec {

// Found in the process at run time: the library must load where there is no Python.
struct Interpreter {
  void* (*capsule_pointer)(void* capsule, const char* name);  // PyCapsule_GetPointer
  const char* (*capsule_name)(void* capsule);                 // PyCapsule_GetName
  void* (*make_int)(long value);                              // PyLong_FromLong
  void* (*exception)();                                       // PyErr_Occurred
  void* (*leave_gil)();                                       // PyEval_SaveThread
  void (*take_gil)(void* thread);                             // PyEval_RestoreThread
};

// Refuses if the process has no Python.
const Interpreter& interpreter();

}  // namespace flashdec
