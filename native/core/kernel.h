// One row of the kernel table: what a kernel can do, as data, and how to start it.
#pragma once

#include <cstdint>

#include "core/device.h"
#include "core/problem.h"
#include "core/split.h"

struct CUstream_st;

namespace flashdec {

struct Plan;
struct Workspace;

// One call of flashdec_run, validated.
struct Launch {
  const Plan& plan;
  const Operands& operands;
  const Workspace& workspace;
  CUstream_st* stream;
};

struct Kernel {
  const char* name;
  uint32_t backend;  // a flashdec_backend
  Dtype element;
  Dtype aux_element;
  uint32_t layout;   // a flashdec_layout
  Dtype math;        // in which p is multiplied with v
  Isa isa;           // CPU: what it is compiled for
  int32_t arch;      // CUDA: the least compute capability
  bool needs_sm90a;  // CUDA: uses instructions of that target only
  int64_t max_head_dim;
  int64_t alignment;      // bytes; 0: the element's size
  int64_t tile;           // tokens at a time
  int64_t heads;          // query heads of a group that one block of threads takes
  int64_t smem;           // CUDA: bytes of shared memory in a block
  int64_t levels;         // CUDA: of the tree of fixed splits, that fit there
  int64_t warps;          // CUDA: that take the tiles of such a split in turn
  int64_t blocks_per_sm;  // CUDA: how many the schedule fills a multiprocessor with
  int64_t max_group;      // query heads of a key/value head; 0: any
  int64_t row_multiple;   // of head_dim and head_dim_v; 0: any
  int64_t page_multiple;  // of the page size; 0: any
  bool persistent;        // CUDA: one grid of blocks, which deals the tiles to itself
  void (*run)(const Launch& launch);
};

struct KernelTable {
  const Kernel* rows;
  uint32_t count;
  const Kernel* begin() const { return rows; }
  const Kernel* end() const { return rows + count; }
};

// The ordered list: best first, references last.
KernelTable kernel_table();

}  // namespace flashdec
