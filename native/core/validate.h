// Every rejection of a caller's value lives here.
#pragma once

#include "core/device.h"
#include "core/kernel.h"
#include "core/problem.h"
#include "core/status.h"

namespace flashdec {

struct Plan;

Problem validate(const flashdec_descriptor& desc);
Choice validate(const flashdec_preference& preference);
Operands validate(const Plan& plan, const flashdec_args& args);

// A CPU plan takes no stream.
void validate_stream(bool cpu, const void* stream);

void validate_workspace(const Plan& plan, const void* workspace, uint64_t bytes);

// Whether `kernel` can solve the problem on the device; the refusal says why not.
// A code of FLASHDEC_SUCCESS means that it can.
Refusal why_not(const Kernel& kernel, const Problem& problem, const Choice& choice,
                const Device& device);

// The same, with a sentence also where the row is meant for another dtype or machine.
Refusal explain(const Kernel& kernel, const Problem& problem, const Choice& choice,
                const Device& device);

// Whether FLASHDEC_CHECK is 1; read anew at each call.
bool checks_contents();

// FLASHDEC_CHECK=1, CPU: lengths and page ids, where the host can read them.
void validate_contents(const Problem& problem, const Operands& operands);

}  // namespace flashdec
