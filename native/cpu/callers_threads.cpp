#include "cpu/callers_threads.h"

#include <atomic>

#include "core/abi.h"
#include "core/status.h"
#include "cpu/float_mode.h"

namespace flashdec::cpu {
namespace {

thread_local flashdec_threads named;  // without parallel_for: none

struct Job {
  ItemFunction function;
  const void* context;
  int64_t items;
  std::atomic<int64_t> done{0};
  std::atomic<int64_t> sum{0};  // of the indices
};

void do_item(void* pointer, int64_t index) {
  Job& job = *static_cast<Job*>(pointer);
  job.done.fetch_add(1, std::memory_order_relaxed);
  job.sum.fetch_add(index, std::memory_order_relaxed);
  if (index < 0 || index >= job.items) return;
  const DefaultFloatMode mode;
  job.function(job.context, index, index + 1);  // a guess, for prefetching
}

}  // namespace

bool on_callers_threads(uint32_t threads, int64_t items, ItemFunction function,
                        const void* context) {
  if (named.parallel_for == nullptr) return false;
  Job job = {function, context, items};
  named.parallel_for(named.context, threads, items, do_item, &job);
  const int64_t done = job.done.load(std::memory_order_relaxed);
  const int64_t sum = job.sum.load(std::memory_order_relaxed);
  if (done != items || sum != items * (items - 1) / 2)
    refuse(FLASHDEC_INVALID_VALUE,
           "parallel_for did %lld items of %lld, or not those; it must do each of them once",
           static_cast<long long>(done), static_cast<long long>(items));
  return true;
}

void use_threads(const flashdec_threads* threads) {
  if (threads == nullptr) {
    named = {};
    return;
  }
  const flashdec_threads given = read_struct(threads, "threads");
  if (given.reserved != 0)
    refuse(FLASHDEC_INVALID_VALUE, "threads->reserved is %u; it must be 0", given.reserved);
  if (given.parallel_for == nullptr)
    refuse(FLASHDEC_NULL_POINTER, "threads->parallel_for is NULL; it is required");
  named = given;
}

}  // namespace flashdec::cpu
