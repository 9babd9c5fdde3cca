// A merge of partial results after validation.
#pragma once

#include <cstdint>

#include "core/problem.h"
#include "flashdec_merge.h"

namespace flashdec {

struct MergeStrides {
  int64_t part;
  int64_t batch;
  int64_t head;
};

struct Merge {
  Dtype part_element;
  Dtype lse_element;  // of the parts
  Dtype element;
  bool base2;
  int32_t device;  // -1: the CPU
  uint32_t num_threads;
  int64_t parts;
  int64_t batch;
  int64_t heads;
  int64_t head_dim;
  const void* part_o;
  const void* part_lse;
  void* o;
  float* lse;
  MergeStrides part_o_strides;
  MergeStrides part_lse_strides;
  MergeStrides o_strides;    // part: 0
  MergeStrides lse_strides;  // the same

  int64_t rows() const { return batch * heads; }
};

Merge validate(const flashdec_merge_args& args);

}  // namespace flashdec
