// The names of an operator's parameters, as its schema has them.
#pragma once

#include "core/interpreter.h"

namespace flashdec::torch {

constexpr int kMaxParameters = 16;

class Parameters {
 public:
  // Of "name(type parameter, type parameter=default, ...) -> results".  Holds the interpreter's
  // lock.
  explicit Parameters(const char* schema);

  int count() const { return count_; }

  // Where a keyword's value belongs; -1: no parameter has that name, or the name is not the string
  // that Python keeps for it.
  int find(const void* name) const;

 private:
  void* names_[kMaxParameters];
  int count_ = 0;
};

}  // namespace flashdec::torch
