// The nodes of splits that blocks left in the workspace become the results: who waits for which,
// and in which order they are folded.
#pragma once

#include "cuda/tensor/exchange.cuh"
#include "cuda/tensor/tree.cuh"
#include "cuda/tensor/tree_items.cuh"

namespace flashdec::cuda {

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
  int thread;  // of the block whose share it is
  int what;    // number of the item

  __device__ int lanes() const { return 1 << shares.lanes_log; }

  // Share number `share` of the columns.  False if this warp leaves that to another one.
  __device__ bool reduce(int share) const {
    const int begin = share << shares.each_log;
    const int end = min(begin + (1 << shares.each_log), shares.quads);
    const int at_once = static_cast<int>(blockDim.x) >> shares.lanes_log;
#pragma unroll 1
    for (int base = begin; base < end; base += at_once) {  // whole warps go round together
      const int quad = base + (thread >> shares.lanes_log);
      const bool leaves = receive.leaves && base == begin;
      TreeNode sum;
      if (row.count <= lanes()) {
        if (!fold_once(quad, end, leaves, sum)) return false;
      } else {
        if (leaves && !wait_for_all({p.attendance}, what)) return false;
        sum = fold_in_rounds(quad, end);
      }
      if (lane() != 0 || quad >= end) continue;
      const int head = p.row_quads.divide(quad);
      const int column = 4 * (quad - head * static_cast<int>(p.row_quads.value));
      store_normalised<E>(p, row.sequence, first_head_of(p, row.unit) + head, column, sum.o,
                          sum.state);
    }
    return true;
  }

  __device__ int lane() const { return thread & (lanes() - 1); }

  // False if the warp leaves that to another one: as in exchange.cuh.
  __device__ bool fold_once(int quad, int end, bool leaves, TreeNode& sum) const {
    TreeNode nodes[1];
    if (!load(lane(), quad, end, leaves, nodes)) return false;
    sum = gather(nodes[0]);
    return true;
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
      load(round * each + first, quad, end, false, nodes);
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
  __device__ bool load(int first, int quad, int end, bool leaves, TreeNode (&nodes)[kNodes]) const {
    Packet packets[1][kNodes];
    int64_t places[1][kNodes];
#pragma unroll
    for (int i = 0; i < kNodes; ++i) {
      const bool there = first + i < row.count && quad < end;
      places[0][i] = there ? packet_index(p, row.slot(first + i), quad) : int64_t{-1};
      packets[0][i] = there ? unknown_packet() : empty_packet();
    }
    if (!receive.wait_for(p, packets, places, leaves, what)) return false;
#pragma unroll
    for (int i = 0; i < kNodes; ++i) {
      nodes[i] = node_of(packets[0][i]);
      if (receive.restore && places[0][i] >= 0) put_back(p, places[0][i]);
    }
    return true;
  }
};

// All items of this block; then, if others have `left` any to this warp, theirs.  This code is in
// one place, because it runs once, last, and is as long as a kernel.
template <class E>
__device__ inline void reduce_tree(const Splits& deal, const Receiver& receive, bool left) {
  const TensorParams& p = deal.p;
  Left at = {0, static_cast<int>(threadIdx.x) / 32, first_item()};
  Receiver how = receive;
#pragma unroll 1
  for (;;) {
    for_each_item(deal, at.what, [&](int number, const TreeItem& item) {
      const int quads = heads_of(p, item.row.unit) * static_cast<int>(p.row_quads.value);
      const int spare_log = max(threads_log() - item.each_log, 0);
      const Shares shares = {quads, item.each_log,
                             min(min(spare_log, ceil_log2(item.row.count)), 5)};
      return TreeReader<E>{p, how, item.row, shares, at.thread(), number}.reduce(item.share);
    });
    if (!left) return;
    at = take_left({p.attendance});
    if (at.what < 0) return;
    how.leaves = false;
  }
}

}  // namespace flashdec::cuda
