// Where the rows of q, k, v, o and lse are.  Not inline: see core/inline.h.
#pragma once

#include "cpu/backend.h"

namespace flashdec::cpu {

const void* query_row(const Launch& launch, int64_t sequence, int64_t head);
void* output_row(const Launch& launch, int64_t sequence, int64_t head);
void store_lse(const Launch& launch, int64_t sequence, int64_t head, SoftmaxState state);

// Index of a split's partial result in the workspace.
int64_t part_index(const Launch& launch, int64_t sequence, int64_t head, int64_t split);

// What a sequence without tokens, or with an unusable length or page, leaves in its outputs.
void store_constant_row(const Launch& launch, int64_t sequence, int64_t head, float o,
                        SoftmaxState state);

// What an unusable page leaves, for every query head of the item.
void poison(const Launch& launch, const WorkItem& item);

// ORs a flashdec_fault into args.status.
void report_fault(const Launch& launch, uint32_t fault);

}  // namespace flashdec::cpu
