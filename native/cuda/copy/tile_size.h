#pragma once

namespace flashdec::cuda {

// What fills the shared memory of a warp: tiles of so many tokens and panels of 64 columns.
struct TileSize {
  int tokens;
  int panels;
};

}  // namespace flashdec::cuda
