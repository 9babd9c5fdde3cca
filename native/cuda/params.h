// What every CUDA kernel gets: the validated values of the core, by value.
#pragma once

#include "core/kernel.h"
#include "core/plan.h"
#include "core/workspace.h"

namespace flashdec::cuda {

struct Params {
  Problem problem;
  Operands x;
  Schedule schedule;
  Workspace parts;
};

inline Params make_params(const Launch& launch) {
  return {launch.plan.problem, launch.operands, launch.plan.schedule, launch.workspace};
}

}  // namespace flashdec::cuda
