// The query heads of an item that are taken at once.
#pragma once

#include "core/plan.h"
#include "cpu/backend.h"

namespace flashdec::cpu {
namespace {

// The query heads [first, first + count) of every key/value head of an item.
struct Share {
  const Launch& launch;
  const WorkItem& item;
  int64_t first;
  int64_t count;

  int64_t heads() const { return item.kv_heads * count; }
  // Of head i of the state, key/value head after key/value head.
  int64_t query_head(int64_t i) const {
    return (item.kv_head + i / count) * launch.plan.problem.group + first + i % count;
  }
};

}  // namespace
}  // namespace flashdec::cpu
