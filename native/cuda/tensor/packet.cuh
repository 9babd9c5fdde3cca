// Parts of a unit in the workspace: packets that are their own flags.
#pragma once

#include "core/softmax_state.h"
#include "cuda/device/memory.cuh"
#include "cuda/tensor/params.h"

namespace flashdec::cuda {

// What a prepared workspace holds where no packet has arrived.
constexpr uint32_t kSentinel = 0xffffffffu;

// One thread's view of a part: four columns of a row, and the row's (m, l), which every packet
// brings along so that none waits for another.
struct Packet {
  uint4 values;
  uint2 state;
};

__device__ inline int64_t packet_index(const EvenParams& p, int slot, int quad) {
  return int64_t{slot} * p.slot_quads + quad;
}

// The same of a unit whose parts are in stripes: 2^stripe_log quads of each part, then the next of
// each.  Who reads a few columns of many parts finds them in few lines.  The slots of the parts
// follow `first_slot`.
__device__ inline int64_t striped_index(const EvenParams& p, int first_slot, int parts, int part,
                                        int quad) {
  const int stripe = quad >> p.stripe_log;
  const int before = ((stripe * parts + part - stripe) << p.stripe_log);
  return int64_t{first_slot} * p.slot_quads + before + quad;
}

// No part may look like the sentinel, which is a NaN: another NaN takes its place.
__device__ inline uint32_t as_word(float value) {
  return min(__float_as_uint(value), kSentinel - 1);
}

__device__ inline void write_packet(const EvenParams& p, int64_t index, const Packet& packet) {
  store_relaxed(reinterpret_cast<uint4*>(p.packets) + index, packet.values);
  store_relaxed(reinterpret_cast<uint2*>(p.headers) + index, packet.state);
}

__device__ inline void store_packet(const EvenParams& p, int64_t index, float4 o,
                                    SoftmaxState state) {
  write_packet(p, index,
               {{as_word(o.x), as_word(o.y), as_word(o.z), as_word(o.w)},
                {as_word(state.m), as_word(state.l)}});
}

__device__ inline Packet load_packet(const EvenParams& p, int64_t index) {
  return {load_relaxed(reinterpret_cast<const uint4*>(p.packets) + index),
          load_relaxed(reinterpret_cast<const uint2*>(p.headers) + index)};
}

__device__ inline bool arrived(const Packet& packet) {
  const uint32_t values =
      max(max(packet.values.x, packet.values.y), max(packet.values.z, packet.values.w));
  return max(values, max(packet.state.x, packet.state.y)) != kSentinel;
}

__device__ inline Packet unknown_packet() {
  return {{kSentinel, kSentinel, kSentinel, kSentinel}, {kSentinel, kSentinel}};
}
// Of a part that is not there: adds nothing.
__device__ inline Packet empty_packet() {
  return {{0, 0, 0, 0}, {__float_as_uint(-INFINITY), 0}};
}

__device__ inline void put_back(const EvenParams& p, int64_t index) {
  write_packet(p, index, unknown_packet());
}

}  // namespace flashdec::cuda
