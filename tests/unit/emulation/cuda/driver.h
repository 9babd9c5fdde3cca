// The driver, of which tensor_map.cu needs two functions.
#pragma once

#include <cuda.h>

namespace flashdec::cuda {

// As the driver refuses: CUDA driver API, cuTensorMapEncodeTiled.
inline CUresult encode_tiled(CUtensorMap* map, CUtensorMapDataType, uint32_t rank, void* base,
                             const cuuint64_t* extents, const cuuint64_t* strides,
                             const cuuint32_t* box, const cuuint32_t* steps, CUtensorMapInterleave,
                             CUtensorMapSwizzle, CUtensorMapL2promotion, CUtensorMapFloatOOBfill) {
  bool good = rank == 5 && reinterpret_cast<uintptr_t>(base) % 16 == 0 && box[0] * 2 <= 128;
  map->base = static_cast<const char*>(base);
  for (int i = 0; i < 5; ++i) {
    map->extents[i] = extents[i];
    map->strides[i] = i == 0 ? 2 : strides[i - 1];
    map->box[i] = box[i];
    good = good && extents[i] >= 1 && extents[i] <= (uint64_t{1} << 32) && steps[i] == 1 &&
           box[i] >= 1 && box[i] <= 256;
    if (i > 0) good = good && strides[i - 1] % 16 == 0 && strides[i - 1] < (uint64_t{1} << 40);
  }
  return good ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

inline CUresult replace_address(CUtensorMap* map, void* base) {
  map->base = static_cast<const char*>(base);
  return reinterpret_cast<uintptr_t>(base) % 16 == 0 ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

struct Driver {
  decltype(&flashdec::cuda::encode_tiled) encode_tiled;
  decltype(&flashdec::cuda::replace_address) replace_address;
};

inline const Driver& driver() {
  static const Driver found = {&flashdec::cuda::encode_tiled, &flashdec::cuda::replace_address};
  return found;
}

}  // namespace flashdec::cuda
