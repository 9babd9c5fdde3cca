// Descriptions of the cache for the tensor copies of sm_90.
#pragma once

#include <cuda.h>

#include "core/kernel.h"

namespace flashdec::cuda {

// A 4-D tensor (column, token, key/value head, page or sequence), in boxes of 64 columns and
// `box_tokens` tokens, swizzled over 128 bytes.
struct TmaMaps {
  CUtensorMap k;
  CUtensorMap v;
  int box_tokens;
};

// Boxes of `tile` tokens, or of the largest part of it that pages are a multiple of.
TmaMaps make_maps(const Launch& launch, int tile);

}  // namespace flashdec::cuda
