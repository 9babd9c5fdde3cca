// A unit that several blocks share.
#pragma once

#include "cuda/tensor/packet.cuh"

namespace flashdec::cuda {

constexpr int kNoSlot = -1;

// How a unit that several blocks share is divided between them, and where its parts wait.
struct Cut {
  int head_slot;  // of part i < heads: head_slot + i
  int heads;
  int first_slot;  // of others: first_slot + i * stride
  int stride;
  int part;   // this block's
  int parts;  // 1: this block has all of it

  // This block's.
  __device__ int own_slot() const { return parts > 1 ? slot(part) : kNoSlot; }
  __device__ int slot(int index) const {
    return index < heads ? head_slot + index : first_slot + index * stride;
  }
  // Where four columns of a part are; `striped`: as even.cuh leaves them.
  __device__ int64_t packet(const EvenParams& p, bool striped, int index, int quad) const {
    return striped ? striped_index(p, first_slot, parts, index, quad)
                   : packet_index(p, slot(index), quad);
  }
};

// What a block of its readers needs to know.
struct SharedUnit {
  Cut cut;
  Shares shares;
  int sequence;
  int first_head;
};

}  // namespace flashdec::cuda
