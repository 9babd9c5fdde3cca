// From one call to work items on threads.
//
// Item i is run i % R of splits of the i / R-th span of key/value heads, counted over the
// sequences.  Where the splits begin depends on the plan alone, and heads do not touch each other,
// so the bits depend neither on the runs and spans nor on who computes an item.

#include "cpu/backend.h"

#include <algorithm>
#include <cmath>

#include "core/plan.h"
#include "core/validate.h"
#include "cpu/rows.h"
#include "cpu/threads.h"

namespace flashdec::cpu {
namespace {

// Reading this much takes about as long as waking a thread.
constexpr int64_t kInlineBytes = 256 * 1024;

// Fewer items than this and the last ones would be waited for.
constexpr int64_t kItemsPerThread = 2;

// With as many it is not for long.
constexpr int64_t kEvenItemsPerThread = 16;

constexpr int64_t kBadLength = -1;

int64_t length_of(const Launch& launch, int64_t sequence) {
  const Operands& x = launch.operands;
  if (x.kv_len == nullptr) return x.uniform_kv_len;
  const int64_t len = x.kv_len[sequence];
  return len >= 0 && len <= launch.plan.problem.max_kv_len ? len : kBadLength;
}

// Sequences with nothing to attend to are finished by the item of their first split.
void store_without_attention(const Launch& launch, const WorkItem& item, int64_t len) {
  const int64_t group = launch.plan.problem.group;
  const bool bad = len == kBadLength;
  if (bad) report_fault(launch, FLASHDEC_FAULT_KV_LEN);
  const int64_t end = (item.kv_head + item.kv_heads) * group;
  for (int64_t head = item.kv_head * group; head < end; ++head)
    store_constant_row(launch, item.sequence, head, bad ? NAN : 0.0f,
                       bad ? poisoned_state() : empty_state());
}

struct Job {
  const Launch& launch;
  Steps steps;
  int64_t span;   // key/value heads in an item
  int64_t spans;  // of a sequence
  int64_t run;    // splits in an item
  int64_t runs;   // of a span
  int64_t items;
};

// The item at an index; false where nothing is to be read: past the end, or without tokens.
bool find_item(const Job& job, int64_t index, WorkItem* item, int64_t* len) {
  if (index >= job.items) return false;
  const Problem& problem = job.launch.plan.problem;
  const Schedule& schedule = job.launch.plan.schedule;
  const int64_t unit = index / job.runs;
  item->split = index % job.runs * job.run;
  item->sequence = unit / job.spans;
  item->kv_head = unit % job.spans * job.span;
  const int64_t left = problem.kv_heads - item->kv_head;
  item->kv_heads = left < job.span ? left : job.span;
  *len = length_of(job.launch, item->sequence);
  if (*len <= 0) return false;
  const int64_t length = split_length(schedule, *len);
  item->begin = item->split * length;
  item->end = *len - item->begin < job.run * length ? *len : item->begin + job.run * length;
  item->split_length = length;
  item->whole = *len <= job.run * length;
  return item->begin < *len;
}

void do_item(const void* context, int64_t index, int64_t next) {
  const Job& job = *static_cast<const Job*>(context);
  WorkItem item = {}, after;
  int64_t len = 0, len_after;
  if (find_item(job, index, &item, &len)) {
    const bool more = find_item(job, next, &after, &len_after);
    item.cold = index < 2 * int64_t{job.launch.plan.num_threads};  // each thread took two tickets
    job.steps.attend(job.launch, item, more ? &after : nullptr);
  } else if (len <= 0 && item.split == 0) {
    store_without_attention(job.launch, item, len);
  }
}

void do_combine(const void* context, int64_t index, int64_t) {
  const Job& job = *static_cast<const Job*>(context);
  const Launch& launch = job.launch;
  const int64_t sequence = index / launch.plan.problem.q_heads;
  const int64_t head = index % launch.plan.problem.q_heads;
  const int64_t len = length_of(launch, sequence);
  const int64_t splits = len > 0 ? live_splits(launch.plan.schedule, len) : 0;
  if (splits > job.run) job.steps.combine(launch, sequence, head, splits);
}

// What the sequences have, all together.
struct Extent {
  int64_t tokens, splits;
};

Extent extent_of(const Launch& launch) {
  Extent extent = {};
  for (int64_t b = 0; b < launch.plan.problem.batch; ++b) {
    const int64_t len = std::max<int64_t>(length_of(launch, b), 0);
    extent.tokens += len;
    extent.splits += live_splits(launch.plan.schedule, len);
  }
  return extent;
}

int64_t bytes_to_read(const Problem& problem, int64_t tokens) {
  return tokens * problem.kv_heads * (problem.head_dim + problem.head_dim_v) *
         element_size(problem.aux_element);
}

bool heads_lie_side_by_side(const Strides& strides) {
  return strides.head < strides.token;
}

// Where the rows of a token's heads are neighbours, an item takes several heads, so that whole
// lines of the cache stream by; but not so many that threads would have nothing to do.
int64_t choose_span(const Launch& launch, uint32_t threads) {
  const Problem& problem = launch.plan.problem;
  if (!heads_lie_side_by_side(launch.operands.k_strides) ||
      !heads_lie_side_by_side(launch.operands.v_strides))
    return 1;
  const int64_t most = most_heads(problem) / problem.group;
  int64_t span = problem.kv_heads < most ? problem.kv_heads : most;
  const int64_t splits = problem.batch * launch.plan.schedule.max_splits;
  const int64_t wanted = threads > 1 ? kItemsPerThread * threads : 1;
  while (span > 1 && splits * ceil_div(problem.kv_heads, span) < wanted)
    span /= 2;
  return span > 1 ? span : 1;
}

// Splits that an item goes along: it loads its queries once for all of them, keys of the next one
// are at hand, and if they are all of a sequence they need no combine; but not so many that threads
// would wait for each other.  Where the query heads are taken some at a time, each time along all
// tokens of the item, these are to be near still.
int64_t choose_run(const Launch& launch, uint32_t threads, int64_t splits) {
  const Problem& problem = launch.plan.problem;
  const int64_t most = launch.plan.schedule.max_splits;
  if (problem.group > most_heads(problem)) return 1;
  if (threads == 1) return most;
  return std::clamp<int64_t>(splits / (kEvenItemsPerThread * threads), 1, most);
}

}  // namespace

int64_t most_heads(const Problem& problem) {
  const int64_t row = std::max(problem.head_dim, problem.head_dim_v);
  return row * kMostHeads <= kMostElements ? kMostHeads : kMostHeads / 2;
}

void run(const Launch& launch, Steps steps) {
  const Plan& plan = launch.plan;
  const Problem& problem = plan.problem;
  if (plan.check_contents) validate_contents(problem, launch.operands);
  const Extent extent = extent_of(launch);
  const bool is_small = extent.tokens < kInlineBytes &&  // so that their bytes can be counted
                        bytes_to_read(problem, extent.tokens) < kInlineBytes;
  const uint32_t threads = is_small ? 1 : plan.num_threads;
  const int64_t span = choose_span(launch, threads);
  const int64_t spans = ceil_div(problem.kv_heads, span);
  const int64_t run = choose_run(launch, threads, extent.splits * spans);
  const int64_t runs = ceil_div(plan.schedule.max_splits, run);
  const int64_t items = problem.batch * spans * runs;
  const Job job = {launch, steps, span, spans, run, runs, items};
  parallel_for(threads, items, do_item, &job);
  if (runs > 1) parallel_for(threads, problem.batch * problem.q_heads, do_combine, &job);
}

}  // namespace flashdec::cpu
