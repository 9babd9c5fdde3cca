// What is inside the caller's 1,024 bytes.
#pragma once

#include "core/build_id.h"
#include "core/kernel.h"
#include "core/problem.h"
#include "core/split.h"
#include "flashdec.h"

namespace flashdec {

struct alignas(32) Plan {
  uint64_t magic;
  BuildId build;
  uint64_t checksum;  // of the whole struct, with this field 0
  Problem problem;
  Choice choice;
  Schedule schedule;
  int64_t workspace_bytes;
  uint32_t kernel;       // row of the kernel table
  int32_t device;        // CUDA ordinal, or -1
  uint32_t num_threads;  // CPU
  uint32_t launches;     // CUDA
  bool check_contents;   // FLASHDEC_CHECK=1 when the plan was made

  const Kernel& row() const { return kernel_table().rows[kernel]; }
};

static_assert(sizeof(Plan) <= sizeof(flashdec_plan), "a plan must fit the caller's bytes");
static_assert(sizeof(Plan) % 32 == 0, "the checksum takes four words at a time");

// Decides everything; a pure function of its arguments, apart from FLASHDEC_CHECK.
Plan make_plan(const Problem& problem, const Choice& choice, const Device& device);

void store_plan(Plan plan, flashdec_plan* target);

// Refuses NULL and what this build did not make.
Plan load_plan(const flashdec_plan* source);

}  // namespace flashdec
