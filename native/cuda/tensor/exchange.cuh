// How the parts of a unit that several blocks share become its result.
//
// Every block writes its part, and the blocks reduce each a share of the columns over all parts, in
// an order fixed by their number.  In one launch the parts are packets that are their own flags:
// the workspace holds a sentinel that no part contains, a reader polls until none is left, and puts
// the sentinel back for the next launch.  The blocks of the grid are resident together (a
// cooperative launch).  In two launches the second kernel does the same reading, after the first
// has ended; the bits are the same.
#pragma once

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

// How packets are read.
struct Receiver {
  bool wait;     // polls until they are there
  bool restore;  // leaves sentinels for the next launch
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

// This block's share of a unit that it has a part of.
//
// Little code on purpose: it runs once, at the end, where a warp waits for every instruction.
template <class E>
struct CutReader {
  const EvenParams& p;
  const SharedUnit& unit;
  bool striped;
  const Receiver& receive;
  const Cut& cut = unit.cut;
  const Shares& shares = unit.shares;

  __device__ int lanes() const { return 1 << shares.lanes_log; }
  __device__ int at_once() const { return static_cast<int>(blockDim.x) >> shares.lanes_log; }

  __device__ void reduce() const {
    if (cut.parts <= lanes()) {
      reduce_quads<1, 1>();
    } else if (at_once() >> shares.each_log == 0) {
      reduce_quads<2, 2>();
    } else if (cut.parts <= 2 * lanes()) {
      reduce_quads<1, 2>();
    } else {
      reduce_quads<1, kPartsAtOnce>();
    }
  }

  // Every thread takes kQuads of them together, and asks for kParts of each before it waits.
  template <int kQuads, int kParts>
  __device__ void reduce_quads() const {
    const int begin = cut.part << shares.each_log;
    const int end = min(begin + (1 << shares.each_log), shares.quads);
    const int first = begin + (static_cast<int>(threadIdx.x) >> shares.lanes_log);
    const int stride = kQuads * at_once();
#pragma unroll 1
    for (int base = 0; begin + base < end; base += stride) {  // whole warps go round together
      PartSum sums[kQuads];
      fold<kQuads, kParts>(sums, first + base, end);
#pragma unroll
      for (int i = 0; i < kQuads; ++i) {
        sums[i].gather(lanes());
        store(first + base + i * at_once(), end, sums[i]);
      }
    }
  }

  __device__ void store(int quad, int end, const PartSum& sum) const {
    if ((threadIdx.x & (lanes() - 1)) != 0 || quad >= end) return;
    const int head = p.row_quads.divide(quad);
    const int column = 4 * (quad - head * static_cast<int>(p.row_quads.value));
    store_normalised<E>(p, unit.sequence, unit.first_head + head, column, sum.o, {sum.m, sum.l});
  }

  // Adds every so manieth part.
  template <int kQuads, int kParts>
  __device__ void fold(PartSum (&sums)[kQuads], int quad, int end) const {
#pragma unroll 1
    for (int part = static_cast<int>(threadIdx.x) & (lanes() - 1); part < cut.parts;
         part += kParts * lanes()) {
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
      while (!ask(p, packets, places) && receive.wait) {
      }
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
  }
};

}  // namespace flashdec::cuda
