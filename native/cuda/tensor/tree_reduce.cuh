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

// All items of this block.  This code is in one place, because it runs once, last, and is as long
// as a kernel.
template <class E>
__device__ inline void reduce_tree(const Splits& deal, const Receiver& receive) {
  const TensorParams& p = deal.p;
  for_each_item(deal, [&](const TreeItem& item) {
    const int quads = heads_of(p, item.row.unit) * static_cast<int>(p.row_quads.value);
    const int spare_log = max(threads_log() - item.each_log, 0);
    const Shares shares = {quads, item.each_log, min(min(spare_log, ceil_log2(item.row.count)), 5)};
    TreeReader<E>{p, receive, item.row, shares}.reduce(item.share);
  });
}

}  // namespace flashdec::cuda
