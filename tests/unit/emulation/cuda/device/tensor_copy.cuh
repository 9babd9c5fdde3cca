// Tensor copies: what they are to fill is garbage until they arrive, some time later.
#pragma once

#include <cuda.h>

#include "words.h"

namespace flashdec::cuda {

// Row by row of 128 bytes, whose 16-byte chunks are swizzled by the address (CUDA driver API,
// CU_TENSOR_MAP_SWIZZLE_128B).
inline void fill_box(uint32_t target, const CUtensorMap& map, const int64_t (&at)[5]) {
  uint32_t offset = 0;
  for (uint32_t panel = 0; panel < map.box[2]; ++panel)
    for (uint32_t token = 0; token < map.box[1]; ++token)
      for (uint32_t column = 0; column < map.box[0]; ++column, offset += 2) {
        const int64_t place[5] = {at[0] + column, at[1] + token, at[2] + panel, at[3], at[4]};
        bool inside = true;
        int64_t from = 0;
        for (int i = 0; i < 5; ++i) {
          inside = inside && place[i] >= 0 && place[i] < static_cast<int64_t>(map.extents[i]);
          from += place[i] * static_cast<int64_t>(map.strides[i]);
        }
        const uint32_t address = target + offset;
        char* cell = emulation::shared_at(address ^ (address >> 3 & 0x70), 2);
        if (inside) {
          std::memcpy(cell, map.base + from, 2);
        } else {
          std::memset(cell, 0, 2);
        }
      }
}

inline void start_copy(uint32_t target, const CUtensorMap& map, uint32_t barrier, int column,
                       int token, int head, int block, uint64_t) {
  const uint32_t bytes = map.box[0] * map.box[1] * map.box[2] * 2;
  std::memset(emulation::shared_at(target, bytes), 0xff, bytes);
  const CUtensorMap kept = map;
  emulation::later([=] {
    fill_box(target, kept, {column, token, 0, head, block});
    emulation::bytes_arrive(barrier, bytes);
  });
}

inline void fetch_map(const CUtensorMap&) {}
inline void fence_barriers() {}
inline void fence_copies() {}
inline uint64_t cache_policy(bool) {
  return 0;
}
inline bool elect_lane() {
  emulation::bring("elect", 0);
  return emulation::this_lane() == 0;
}

}  // namespace flashdec::cuda
