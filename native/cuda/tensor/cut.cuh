// A unit that several blocks share.
#pragma once

namespace flashdec::cuda {

// How a unit that several blocks share is divided between them, and where its parts wait.
struct Cut {
  int head_slot;   // of part 0
  int first_slot;  // of part i > 0: first_slot + i * stride
  int stride;
  int part;   // this block's
  int parts;  // 1: this block has all of it

  __device__ int slot(int index) const {
    return index == 0 ? head_slot : first_slot + index * stride;
  }
};

}  // namespace flashdec::cuda
