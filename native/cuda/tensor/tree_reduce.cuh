// The nodes of splits that blocks left in the workspace become the results: who waits for which,
// and in which order they are folded.
//
// A unit of several nodes is shared between readers: an item is some of its columns.  Items are
// dealt to the blocks of the grid in turn, whoever wrote the nodes.
#pragma once

#include "cuda/tensor/exchange.cuh"
#include "cuda/tensor/splits.cuh"
#include "cuda/tensor/tree.cuh"

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

struct PlaceInMemory {
  TreeNode* node;
  __device__ TreeNode get() const { return *node; }
  __device__ void set(const TreeNode& value) const { *node = value; }
};

__device__ inline TreeNode node_of(const Packet& packet) {
  return {{__uint_as_float(packet.state.x), __uint_as_float(packet.state.y)},
          {__uint_as_float(packet.values.x), __uint_as_float(packet.values.y),
           __uint_as_float(packet.values.z), __uint_as_float(packet.values.w)}};
}

template <class E>
struct TreeReader {
  const TensorParams& p;
  const Receiver& receive;
  const NodeRow& row;
  Shares shares;

  __device__ int lanes() const { return 1 << shares.lanes_log; }

  // Share number `share` of the columns.
  __device__ void reduce(int share) const {
    const int begin = share << shares.each_log;
    const int end = min(begin + (1 << shares.each_log), shares.quads);
    const int at_once = static_cast<int>(blockDim.x) >> shares.lanes_log;
#pragma unroll 1
    for (int base = begin; base < end; base += at_once) {  // whole warps go round together
      const int quad = base + (static_cast<int>(threadIdx.x) >> shares.lanes_log);
      const TreeNode sum = row.count <= lanes() ? fold_once(quad, end) : fold_in_rounds(quad, end);
      if ((threadIdx.x & (lanes() - 1)) != 0 || quad >= end) continue;
      const int head = p.row_quads.divide(quad);
      const int column = 4 * (quad - head * static_cast<int>(p.row_quads.value));
      store_normalised<E>(p, row.sequence, first_head_of(p, row.unit) + head, column, sum.o,
                          sum.state);
    }
  }

  __device__ int lane() const { return static_cast<int>(threadIdx.x) & (lanes() - 1); }

  __device__ TreeNode fold_once(int quad, int end) const {
    TreeNode nodes[1];
    load(lane(), quad, end, nodes);
    return gather(nodes[0]);
  }

  // Each lane takes neighbours, then neighbouring lanes fold theirs, then rounds of that.
  __device__ TreeNode fold_in_rounds(int quad, int end) const {
    constexpr int kNodes = 4;
    TreeNode waiting[31];
    TreeNode sum;
    const int each = kNodes << shares.lanes_log;
    const int first = lane() * kNodes;
#pragma unroll 1
    for (int round = 0; round * each < row.count; ++round) {
      TreeNode nodes[kNodes];
      load(round * each + first, quad, end, nodes);
#pragma unroll
      for (int distance = 1; distance < kNodes; distance *= 2)
#pragma unroll
        for (int i = 0; i < kNodes; i += 2 * distance)
          nodes[i] = fold(nodes[i], nodes[i + distance]);
      sum = gather(nodes[0]);
      const bool last = round * each + each >= row.count;
      carry(round, last ? 32 - __clz(round) : 31, last, sum,
            [&](int level) { return PlaceInMemory{waiting + level}; });
    }
    return sum;
  }

  // The left of two lanes has the left half; what the right one holds in the end is not used.
  __device__ TreeNode gather(TreeNode node) const {
#pragma unroll
    for (int distance = 1; distance < 32; distance *= 2) {
      if (distance >= lanes()) break;
      const TreeNode right = {{__shfl_down_sync(kAllLanes, node.state.m, distance),
                               __shfl_down_sync(kAllLanes, node.state.l, distance)},
                              {__shfl_down_sync(kAllLanes, node.o.x, distance),
                               __shfl_down_sync(kAllLanes, node.o.y, distance),
                               __shfl_down_sync(kAllLanes, node.o.z, distance),
                               __shfl_down_sync(kAllLanes, node.o.w, distance)}};
      node = fold(node, right);
    }
    return node;
  }

  template <int kNodes>
  __device__ void load(int first, int quad, int end, TreeNode (&nodes)[kNodes]) const {
    Packet packets[1][kNodes];
    int64_t places[1][kNodes];
#pragma unroll
    for (int i = 0; i < kNodes; ++i) {
      const bool there = first + i < row.count && quad < end;
      places[0][i] = there ? packet_index(p, row.slot(first + i), quad) : int64_t{-1};
      packets[0][i] = there ? unknown_packet() : empty_packet();
    }
    while (!ask(p, packets, places) && receive.wait) {
    }
#pragma unroll
    for (int i = 0; i < kNodes; ++i) {
      nodes[i] = node_of(packets[0][i]);
      if (receive.restore && places[0][i] >= 0) put_back(p, places[0][i]);
    }
  }
};

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

// Share number `share` of the 2^log shares of a unit's columns.
struct TreeItem {
  NodeRow row;
  int share;
  int log;
};

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
    found = {node_row(deal.p, sequence, sequence * nodes, unit, nodes), item - (index << log), log};
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
    end = items;
#pragma unroll
    for (int distance = 1; distance < 32; distance *= 2) {
      const int more = __shfl_up_sync(kAllLanes, end, distance);
      if (lane >= distance) end += more;
    }
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
    found.log = __shfl_sync(kAllLanes, log, lane);
    const int unit = local >> found.log;
    found.share = local - (unit << found.log);
    found.row = node_row(deal.p, shown.base + lane, __shfl_sync(kAllLanes, shown.end - nodes, lane),
                         unit, __shfl_sync(kAllLanes, nodes, lane));
    return true;
  }
};

template <class E>
__device__ inline void reduce_item(const TensorParams& p, const TreeItem& item,
                                   const Receiver& receive) {
  const int quads = heads_of(p, item.row.unit) * static_cast<int>(p.row_quads.value);
  const int each_log = ceil_log2(((p.slot_quads - 1) >> item.log) + 1);
  const int spare_log = max(threads_log() - each_log, 0);
  const Shares shares = {quads, each_log, min(min(spare_log, ceil_log2(item.row.count)), 5)};
  TreeReader<E>{p, receive, item.row, shares}.reduce(item.share);
}

// All items of this block.  `reduce_item` is called in one place: its code runs once, last, and is
// as long as a kernel.
template <class E>
__device__ inline void reduce_tree(const Splits& deal, const Receiver& receive) {
  const int most = deal.nodes(deal.survey.longest);
  if (most == 1) return;
  const bool even = deal.survey.common != kLengthsDiffer;
  const EvenTreeItems same(deal, most);
  AnyTreeItems differ(deal);
  if (!even) differ.begin();
  TreeItem found;
#pragma unroll 1
  for (int item = static_cast<int>(blockIdx.x);
       even ? same.find(item, found) : differ.find(item, found);
       item += static_cast<int>(gridDim.x))
    reduce_item<E>(deal.p, found, receive);
}

}  // namespace flashdec::cuda
