// Descriptions of the cache for the tensor copies of sm_90.
#pragma once

#include <cuda.h>

#include "core/kernel.h"
#include "cuda/copy/tile_size.h"

namespace flashdec::cuda {

// A 5-D tensor (column, token, panel, key/value head, page or sequence), in boxes of 64 columns and
// `box_tokens` tokens, swizzled over 128 bytes.  If rows of K and of V fill all panels of a tile, a
// box has all of them, unless the tile's layout is another one; else there is one for each panel,
// so that what is beyond the row's end is filled with zeros.
struct TmaMaps {
  CUtensorMap k;
  CUtensorMap v;
  int box_tokens;
  int boxes_log;  // 2^boxes_log boxes, or rows of boxes, hold a tile
  int row_boxes;  // in such a row: one, or one for each panel
  int box_bytes;  // from one row of boxes to the next
  // The layout of tiles: tensor/attend.cuh.
  int panel_bytes;
  int rows_bytes;
  int half_bytes;

  // Boxes have as many tokens as the tile, or the largest part of them that pages are a multiple
  // of.
  static TmaMaps make(const Launch& launch, const TileSize& tile);
  // The same of other K and V.
  void aim(const Operands& x);
};

}  // namespace flashdec::cuda
