// The operators: each is made of its arguments, then computes.  Schemas stand in register.cpp.
#pragma once

#include "torch/arguments.h"

namespace flashdec::torch {

struct DecodeOptions {
  float scale;
  uint32_t axes;
  bool batch_invariant;
  bool with_lse;
  bool base2;
};

class Decode {
 public:
  explicit Decode(Arguments& given) : Decode(given, false) {}
  void compute(Results* results) const;

 protected:
  Decode(Arguments& given, bool with_lse);

 private:
  Tensor q_, k_, v_, kv_len_, page_table_, workspace_;
  DecodeOptions options_;
};

class DecodeLse : public Decode {
 public:
  explicit DecodeLse(Arguments& given) : Decode(given, true) {}
};

// What both appends take behind the rows of new tokens.
struct Places {
  explicit Places(Arguments& given);

  Tensor k_cache, v_cache, kv_len, page_table, new_len, status;
  uint32_t axes;
  bool advance;
};

class Append {
 public:
  explicit Append(Arguments& given);
  void compute(Results* results) const;

 private:
  Tensor k_, v_;
  Places places_;
};

class AppendRotary {
 public:
  explicit AppendRotary(Arguments& given);
  void compute(Results* results) const;

 private:
  Tensor q_, k_, v_, cos_, sin_;
  Places places_;
  Tensor positions_;
  bool interleaved_;
};

class Merge {
 public:
  explicit Merge(Arguments& given);
  void compute(Results* results) const;

 private:
  Tensor o_, lse_;
  bool base2_;
};

}  // namespace flashdec::torch
