// Descriptions of the cache for the tensor copies of sm_90.
#pragma once

#include <cuda.h>

#include "core/kernel.h"

namespace flashdec::cuda {

// A 5-D tensor (column, token, panel, key/value head, page or sequence), in boxes of 64 columns and
// `box_tokens` tokens, swizzled over 128 bytes.  Rows of whole panels of 64 columns come in one
// box; others in a box for each panel, so that what is beyond the row's end is filled with zeros.
struct TmaMaps {
  CUtensorMap k;
  CUtensorMap v;
  int box_tokens;
  int boxes_log;    // 2^boxes_log boxes hold a tile
  int panel_bytes;  // the layout of tiles: tensor/attend.cuh
  int rows_bytes;
  int k_boxes;  // of a row: one for all panels, or one for each
  int v_boxes;
};

// What the boxes fill in shared memory: tiles of so many tokens and panels.
struct TileSize {
  int tokens;
  int panels;
};

// Boxes have as many tokens as the tile, or the largest part of them that pages are a multiple of.
TmaMaps make_maps(const Launch& launch, const TileSize& tile);

}  // namespace flashdec::cuda
