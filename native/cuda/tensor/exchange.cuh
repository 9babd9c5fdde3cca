// How the parts of a unit that several blocks share become its result.
//
// Every block writes its part, and the blocks reduce each a share of the columns over all parts, in
// an order fixed by their number.  In one launch the parts are packets that are their own flags:
// the workspace holds a sentinel that no part contains, a reader polls until none is left, and puts
// the sentinel back for the next launch; attendance.cuh says why that ends.  In two launches the
// second kernel does the same reading, after the first has ended; the bits are the same.
#pragma once

#include "cuda/tensor/attendance.cuh"
#include "cuda/tensor/cut.cuh"
#include "cuda/tensor/output.cuh"
#include "cuda/tensor/packet.cuh"

namespace flashdec::cuda {

// The sum over parts of four neighbouring columns of a row.
struct PartSum {
  float m = -INFINITY;
  float l = 0.0f;
  float4 o = {0.0f, 0.0f, 0.0f, 0.0f};

  __device__ void move(float to) {
    const float keep = merge_factor(m, to);
    m = to;
    l *= keep;
    o = {o.x * keep, o.y * keep, o.z * keep, o.w * keep};
  }

  // m is at least the part's.
  __device__ void add(const Packet& part) {
    const float factor = merge_factor(__uint_as_float(part.state.x), m);
    l = fmaf(__uint_as_float(part.state.y), factor, l);
    o = {fmaf(__uint_as_float(part.values.x), factor, o.x),
         fmaf(__uint_as_float(part.values.y), factor, o.y),
         fmaf(__uint_as_float(part.values.z), factor, o.z),
         fmaf(__uint_as_float(part.values.w), factor, o.w)};
  }

  // Over neighbouring lanes, a power of two; the same in each.
  __device__ void gather(int lanes) {
    float top = m;
#pragma unroll
    for (int distance = 1; distance < 32; distance *= 2) {
      if (distance >= lanes) break;
      top = fmaxf(top, __shfl_xor_sync(kAllLanes, top, distance));
    }
    move(top);
#pragma unroll
    for (int distance = 1; distance < 32; distance *= 2) {
      if (distance >= lanes) break;
      l += __shfl_xor_sync(kAllLanes, l, distance);
      o.x += __shfl_xor_sync(kAllLanes, o.x, distance);
      o.y += __shfl_xor_sync(kAllLanes, o.y, distance);
      o.z += __shfl_xor_sync(kAllLanes, o.z, distance);
      o.w += __shfl_xor_sync(kAllLanes, o.w, distance);
    }
  }
};

// For the packets that have not arrived; true if all have.
template <int kQuads, int kParts>
__device__ inline bool ask(const EvenParams& p, Packet (&packets)[kQuads][kParts],
                           const int64_t (&places)[kQuads][kParts]) {
#pragma unroll
  for (int i = 0; i < kQuads; ++i)
#pragma unroll
    for (int j = 0; j < kParts; ++j)
      if (!arrived(packets[i][j])) packets[i][j] = load_packet(p, places[i][j]);
  bool all = true;
#pragma unroll
  for (int i = 0; i < kQuads; ++i)
#pragma unroll
    for (int j = 0; j < kParts; ++j)
      all &= arrived(packets[i][j]);
  return all;
}

// How packets are read.
struct Receiver {
  bool wait;     // polls until they are there
  bool restore;  // leaves sentinels for the next launch
  bool leaves;   // what it cannot do for blocks that have not come

  // By a whole warp.  False if it may leave number `what` of what its block has to do, and has.
  template <int kQuads, int kParts>
  __device__ bool wait_for(const EvenParams& p, Packet (&packets)[kQuads][kParts],
                           const int64_t (&places)[kQuads][kParts], bool leaves, int what) const {
    int looks = leaves ? kPatience : INT_MAX;
    while (!__all_sync(kAllLanes, ask(p, packets, places)) && wait)
      if (--looks == 0 && !may_stay({p.attendance}, what)) return false;
    return true;
  }
};

// In one launch: if all blocks are resident, and if they may come one after another.
__device__ inline Receiver receive_together() {
  return {true, true, false};
}
__device__ inline Receiver receive_as_they_come() {
  return {true, true, true};
}

// This block's share of a unit that it has a part of.
//
// Little code on purpose: it runs once, at the end, where a warp waits for every instruction.
template <class E>
struct CutReader {
  const EvenParams& p;
  const SharedUnit& unit;
  bool striped;
  const Receiver& receive;
  int thread;  // of the block whose share it is
  int what;    // number of the unit, among those of the block
  const Cut& cut = unit.cut;
  const Shares& shares = unit.shares;

  __device__ int lanes() const { return 1 << shares.lanes_log; }
  __device__ int at_once() const { return static_cast<int>(blockDim.x) >> shares.lanes_log; }

  // False if this warp leaves that to another one.
  __device__ bool reduce() const {
    if (cut.parts <= lanes()) return reduce_quads<1, 1>();
    if (cut.parts <= 2 * lanes())
      return at_once() >> shares.each_log == 0 ? reduce_quads<2, 2>() : reduce_quads<1, 2>();
    if (cut.parts > kPartsAtOnce * lanes() && receive.leaves && !wait_for_all({p.attendance}, what))
      return false;
    return reduce_quads<1, kPartsAtOnce>();
  }

  // Every thread takes kQuads of them together, and asks for kParts of each before it waits.
  template <int kQuads, int kParts>
  __device__ bool reduce_quads() const {
    const int begin = cut.part << shares.each_log;
    const int end = min(begin + (1 << shares.each_log), shares.quads);
    const int first = begin + (thread >> shares.lanes_log);
    const int stride = kQuads * at_once();
#pragma unroll 1
    for (int base = 0; begin + base < end; base += stride) {  // whole warps go round together
      PartSum sums[kQuads];
      if (!fold<kQuads, kParts>(sums, first + base, end, receive.leaves && base == 0)) return false;
#pragma unroll
      for (int i = 0; i < kQuads; ++i) {
        sums[i].gather(lanes());
        store(first + base + i * at_once(), end, sums[i]);
      }
    }
    return true;
  }

  __device__ void store(int quad, int end, const PartSum& sum) const {
    if ((thread & (lanes() - 1)) != 0 || quad >= end) return;
    const int head = p.row_quads.divide(quad);
    const int column = 4 * (quad - head * static_cast<int>(p.row_quads.value));
    store_normalised<E>(p, unit.sequence, unit.first_head + head, column, sum.o, {sum.m, sum.l});
  }

  // Adds every so manieth part.  False if the warp may leave that to another one, and has done so:
  // before any sentinel is back.  When a first quad of all parts is there, so are their blocks.
  template <int kQuads, int kParts>
  __device__ bool fold(PartSum (&sums)[kQuads], int quad, int end, bool leaves) const {
#pragma unroll 1
    for (int round = 0; round < cut.parts; round += kParts * lanes()) {  // as above
      const int part = round + (thread & (lanes() - 1));
      Packet packets[kQuads][kParts];
      int64_t places[kQuads][kParts];
#pragma unroll
      for (int i = 0; i < kQuads; ++i)
#pragma unroll
        for (int j = 0; j < kParts; ++j) {
          const int of_part = part + j * lanes();
          const int of_quad = quad + i * at_once();
          const bool there = of_part < cut.parts && of_quad < end;
          places[i][j] = there ? cut.packet(p, striped, of_part, of_quad) : -1;
          packets[i][j] = there ? unknown_packet() : empty_packet();
        }
      if (!receive.wait_for(p, packets, places, leaves && round == 0, what)) return false;
#pragma unroll
      for (int i = 0; i < kQuads; ++i) {
        float top = sums[i].m;
#pragma unroll
        for (int j = 0; j < kParts; ++j)
          top = fmaxf(top, __uint_as_float(packets[i][j].state.x));
        sums[i].move(top);
#pragma unroll
        for (int j = 0; j < kParts; ++j) {
          sums[i].add(packets[i][j]);
          if (receive.restore && places[i][j] >= 0) put_back(p, places[i][j]);
        }
      }
    }
    return true;
  }
};

}  // namespace flashdec::cuda
