// How the parts of a unit that several blocks share become its result.
//
// Every block writes its part, and every block reduces its share of the columns over all parts, in
// an order fixed by their number.  In one launch the parts are packets that are their own flags:
// the workspace holds a sentinel that no part contains, a reader polls until none is left, and puts
// the sentinel back for the next launch.  The blocks of the grid are resident together (a
// cooperative launch).  In two launches the second kernel does the same reading, after the first
// has ended; the bits are the same.
#pragma once

#include "cuda/combine/reduce.cuh"
#include "cuda/device/element.cuh"
#include "cuda/tensor/params.h"

namespace flashdec::cuda {

constexpr uint32_t kSentinel = 0xffffffffu;

// No part may look like the sentinel, which is a NaN.
__device__ inline float as_packet(float value) {
  return value == value ? value : NAN;
}

template <class E>
__device__ inline void store_quad(E* target, float4 v) {
  *reinterpret_cast<uint2*>(target) = make_uint2(pack<E>(v.x, v.y), pack<E>(v.z, v.w));
}

template <class E>
__device__ inline E* output_row(const EvenParams& p, int sequence, int head) {
  return static_cast<E*>(p.o) + sequence * p.o_stride_batch + head * p.o_stride_head;
}

__device__ inline void store_lse(const EvenParams& p, int sequence, int head, SoftmaxState state) {
  if (p.lse != nullptr)
    p.lse[sequence * p.lse_stride_batch + head * p.lse_stride_head] = state_lse(state);
}

template <class E>
__device__ inline void store_normalised(const EvenParams& p, int sequence, int head, int column,
                                        float4 o, SoftmaxState state) {
  const float inverse = __frcp_rn(state.l);
  store_quad(output_row<E>(p, sequence, head) + column,
             {o.x * inverse, o.y * inverse, o.z * inverse, o.w * inverse});
  if (column == 0) store_lse(p, sequence, head, state);
}

// How a unit that several blocks share is divided between them.
struct Cut {
  int first_block;
  int part;   // this block's
  int parts;  // 1: this block has all of it

  // Of a part: the first of a unit goes to the second slot of its block, others to the first.
  __device__ int slot(int index) const { return 2 * (first_block + index) + (index == 0 ? 1 : 0); }
};

// Where parts are: the values of a slot by head and column, its (m, l) once for every reader.
__device__ inline float4* slot_values(const EvenParams& p, int slot) {
  return reinterpret_cast<float4*>(p.packets) + int64_t{slot} * p.slot_quads;
}
// A reader sees a run of heads, whose first is the last of the reader before it at the earliest: so
// reader + head names each copy once.
__device__ inline SoftmaxState* slot_state(const EvenParams& p, int slot, int reader, int head) {
  return p.headers + int64_t{slot} * p.slot_headers + reader + head;
}

__device__ inline void store_packet(const EvenParams& p, const Cut& cut, int quad, float4 o) {
  slot_values(p, cut.slot(cut.part))[quad] = {as_packet(o.x), as_packet(o.y), as_packet(o.z),
                                              as_packet(o.w)};
}

__device__ inline uint4 load_packet(const float4* from) {
  uint4 v;
  asm volatile("ld.relaxed.gpu.global.v4.b32 {%0, %1, %2, %3}, [%4];"
               : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w)
               : "l"(from)
               : "memory");
  return v;
}
__device__ inline uint2 load_packet(const SoftmaxState* from) {
  uint2 v;
  asm volatile("ld.relaxed.gpu.global.v2.b32 {%0, %1}, [%2];"
               : "=r"(v.x), "=r"(v.y)
               : "l"(from)
               : "memory");
  return v;
}
__device__ inline bool arrived(uint4 v) {
  return v.x != kSentinel && v.y != kSentinel && v.z != kSentinel && v.w != kSentinel;
}
__device__ inline bool arrived(uint2 v) {
  return v.x != kSentinel && v.y != kSentinel;
}
__device__ inline void put_back(float4* to) {
  *reinterpret_cast<uint4*>(to) = make_uint4(kSentinel, kSentinel, kSentinel, kSentinel);
}
__device__ inline void put_back(SoftmaxState* to) {
  *reinterpret_cast<uint2*>(to) = make_uint2(kSentinel, kSentinel);
}
__device__ inline float4 as_floats(uint4 v) {
  return {__uint_as_float(v.x), __uint_as_float(v.y), __uint_as_float(v.z), __uint_as_float(v.w)};
}

// How packets are read.
struct Receiver {
  bool wait;     // polls until they are there
  bool restore;  // leaves sentinels for the next launch

  template <class T, class Packet>
  __device__ Packet finish(T* from, Packet v) const {
    while (wait && !arrived(v))
      v = load_packet(from);
    if (restore) put_back(from);
    return v;
  }
};

constexpr int kAhead = 5;  // 32 lanes of up to 160 parts

// This block's share of a unit that it has a part of.
template <class E>
struct Reader {
  const EvenParams& p;
  const Cut& cut;
  const Receiver& receive;
  const Shares& shares;
  SoftmaxState* states;  // shared memory: [heads seen][parts]

  // (m, l) of every part and of every head that this reader sees; that of the first head and of
  // this thread's part was asked for already.
  __device__ void receive_states(int first, int last, uint2 asked) const {
    for (int head = first; head <= last; ++head)
      for (int part = threadIdx.x; part < cut.parts; part += blockDim.x) {
        SoftmaxState* source = slot_state(p, cut.slot(part), cut.part, head);
        const bool is_asked = head == first && part == static_cast<int>(threadIdx.x);
        const uint2 v = receive.finish(source, is_asked ? asked : load_packet(source));
        states[(head - first) * cut.parts + part] = {__uint_as_float(v.x), __uint_as_float(v.y)};
      }
  }

  // The state of this thread's part and the packets of this lane's first quad: all, or those that
  // had not arrived.
  template <bool kFirst>
  __device__ void ask_missing(uint2& state, uint4 (&ahead)[kAhead], int head, int quad,
                              int end) const {
    const int part = static_cast<int>(threadIdx.x);
    if (part < cut.parts && (kFirst || !arrived(state)))
      state = load_packet(slot_state(p, cut.slot(part), cut.part, head));
    if (quad >= end) return;
    const int lanes = 1 << shares.lanes_log;
    const int first = part & (lanes - 1);
#pragma unroll
    for (int i = 0; i < kAhead; ++i) {
      const int at = first + i * lanes;
      if (at < cut.parts && (kFirst || !arrived(ahead[i])))
        ahead[i] = load_packet(slot_values(p, cut.slot(at)) + quad);
    }
  }

  __device__ static bool all_arrived(uint2 state, const uint4 (&ahead)[kAhead]) {
    bool all = arrived(state);
#pragma unroll
    for (int i = 0; i < kAhead; ++i)
      all &= arrived(ahead[i]);
    return all;
  }

  __device__ void reduce(int sequence, int first_head) const {
    const int begin = cut.part * shares.each;
    const int end = min(begin + shares.each, shares.quads);
    if (begin >= end) return;
    const int lanes = 1 << shares.lanes_log;
    const int lane = threadIdx.x & (lanes - 1);
    const int mine = begin + static_cast<int>(threadIdx.x >> shares.lanes_log);
    const int first_seen = p.row_quads.divide(begin);
    // Everything is asked for before the first wait, so that one wait serves all.
    uint2 state = {};
    uint4 ahead[kAhead] = {};
    ask_missing<true>(state, ahead, first_seen, mine, end);
    while (receive.wait && !all_arrived(state, ahead))
      ask_missing<false>(state, ahead, first_seen, mine, end);
    __syncthreads();  // the shared memory is free
    receive_states(first_seen, p.row_quads.divide(end - 1), state);
    __syncthreads();
    const int at_once = blockDim.x >> shares.lanes_log;
#pragma unroll 1
    for (int base = begin; base < end; base += at_once) {  // whole warps go round together
      const int quad = base + static_cast<int>(threadIdx.x >> shares.lanes_log);
      const bool live = quad < end;
      const int head = p.row_quads.divide(live ? quad : end - 1);
      const SoftmaxState* of_head = states + (head - first_seen) * cut.parts;
      const auto receive_quad = [&](int part) {
        float4* source = slot_values(p, cut.slot(part)) + quad;
        return as_floats(receive.finish(source, load_packet(source)));
      };
      Reduction reduction(cut.parts, lane, lanes, of_head);
      int part = lane;
      if (base == begin) {
#pragma unroll
        for (int i = 0; i < kAhead; ++i, part += lanes)
          if (live && part < cut.parts) {
            reduction.add_part(of_head[part], as_floats(ahead[i]));
            if (receive.restore) put_back(slot_values(p, cut.slot(part)) + quad);
          }
      }
      for (; live && part < cut.parts; part += lanes)
        reduction.add_part(of_head[part], receive_quad(part));
      const Reduced sum = reduction.sum();
      if (lane != 0 || !live) continue;
      const int column = 4 * (quad - head * static_cast<int>(p.row_quads.value));
      store_normalised<E>(p, sequence, first_head + head, column, sum.o, sum.state);
    }
  }
};

}  // namespace flashdec::cuda
