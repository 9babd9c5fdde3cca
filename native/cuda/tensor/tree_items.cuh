// Who folds which nodes of splits that blocks left in the workspace.
//
// A unit of several nodes is shared between readers: an item is some of its columns.  Items are
// dealt to the blocks of the grid in turn, whoever wrote the nodes.
#pragma once

#include "cuda/tensor/splits.cuh"

namespace flashdec::cuda {

// The nodes of one unit of a sequence, and where they are: slots first, first + stride, ...
struct NodeRow {
  int sequence;
  int unit;
  int count;
  int first;
  int stride;

  __device__ int slot(int node) const { return first + node * stride; }
};

// `rows_before`: nodes of the sequences before this one.
__device__ inline NodeRow node_row(const TensorParams& p, int sequence, int rows_before, int unit,
                                   int nodes) {
  const int units = static_cast<int>(p.units.value);
  return {sequence, unit, nodes, rows_before * units + unit, units};
}

// Log of the packets that a thread asks for, on average, if all of the grid's do.
__device__ inline int packets_log(const TensorParams& p, int rows) {
  const float packets = static_cast<float>(rows) * static_cast<float>(p.units.value) *
                        static_cast<float>(p.slot_quads);
  const float each = packets / static_cast<float>(gridDim.x * blockDim.x);
  return ceil_log2(static_cast<int>(fminf(each, 1 << 20)) + 1);
}

// The columns of a unit in 2^n items, each one round of what the threads of a block ask for.
__device__ inline int items_log(const TensorParams& p, int nodes, int each_log) {
  const int quads_log = 31 - __clz(p.slot_quads);
  const int packets = ceil_log2(nodes) + ceil_log2(p.slot_quads);
  return min(max(packets - threads_log() - each_log, 0), quads_log);
}

// Share number `share` of a unit's columns, which go by fours: 2^each_log of them.
struct TreeItem {
  NodeRow row;
  int share;
  int each_log;
};

// If there are 2^log items of a unit.
__device__ inline int share_log(const TensorParams& p, int log) {
  return ceil_log2(((p.slot_quads - 1) >> log) + 1);
}

// The items of a block, where every sequence has as many nodes.
struct EvenTreeItems {
  const Splits& deal;
  int nodes;
  int log;  // items of a unit

  __device__ EvenTreeItems(const Splits& all, int of_each)
      : deal(all),
        nodes(of_each),
        log(items_log(all.p, of_each, packets_log(all.p, all.p.batch * of_each))) {}

  __device__ bool find(int item, TreeItem& found) const {
    const int units = deal.units();
    if (item >= (deal.p.batch * units) << log) return false;
    const int index = item >> log;
    const int sequence = deal.p.units.divide(index);
    const int unit = index - sequence * units;
    found = {node_row(deal.p, sequence, sequence * nodes, unit, nodes), item - (index << log),
             share_log(deal.p, log)};
    return true;
  }
};

// The same where they differ: 32 sequences are on view, one in each lane.  By whole warps, each for
// itself.
struct AnyTreeItems {
  const Splits& deal;
  int each_log;
  Window shown;
  int nodes;
  int log;
  int items;
  int end;     // of the items of this sequence, among those on view
  int before;  // items of sequences before those on view
  int total;   // of those on view

  __device__ explicit AnyTreeItems(const Splits& all) : deal(all) {}

  __device__ void begin() {
    each_log = packets_log(deal.p, (deal.survey.quanta >> deal.level) + 1);
    shown = deal.first_window();
    before = 0;
    count();
  }

  __device__ void count() {
    const int lane = static_cast<int>(threadIdx.x) % 32;
    nodes = shown.base + lane < deal.p.batch ? deal.nodes(shown.len) : 0;
    log = items_log(deal.p, nodes, each_log);
    items = nodes > 1 ? deal.units() << log : 0;
    end = sum_up_to_lane(items);
    total = __shfl_sync(kAllLanes, end, 31);
  }

  __device__ bool find(int item, TreeItem& found) {
    while (item >= before + total) {
      if (shown.base + 32 >= deal.p.batch) return false;
      before += total;
      shown = deal.next_window(shown, shown.rows());
      count();
    }
    const int target = item - before;
    const int lane = __ffs(static_cast<int>(__ballot_sync(kAllLanes, end > target))) - 1;
    const int local = target - __shfl_sync(kAllLanes, end - items, lane);
    const int of_unit = __shfl_sync(kAllLanes, log, lane);
    const int unit = local >> of_unit;
    found.share = local - (unit << of_unit);
    found.each_log = share_log(deal.p, of_unit);
    found.row = node_row(deal.p, shown.base + lane, __shfl_sync(kAllLanes, shown.end - nodes, lane),
                         unit, __shfl_sync(kAllLanes, nodes, lane));
    return true;
  }
};

// The first item of this block.  The last block takes the first item: the first blocks may have
// read a node more than the others, and the first items may be those of a long sequence, whose
// nodes are there early.
__device__ inline int first_item() {
  return static_cast<int>(gridDim.x - 1 - blockIdx.x);
}

// Calls take(number, item) for all items of a block from number `first` on, in one place, until
// that is false.
template <class Take>
__device__ inline void for_each_item(const Splits& deal, int first, const Take& take) {
  const int most = deal.nodes(deal.survey.longest);
  if (most == 1) return;
  const bool even = deal.survey.common != kLengthsDiffer;
  const EvenTreeItems same(deal, most);
  AnyTreeItems differ(deal);
  if (!even) differ.begin();
  TreeItem found;
#pragma unroll 1
  for (int item = first; even ? same.find(item, found) : differ.find(item, found);
       item += static_cast<int>(gridDim.x))
    if (!take(item, found)) return;
}

}  // namespace flashdec::cuda
