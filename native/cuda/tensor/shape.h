// The configurations of the tensor-core split kernels, as data that the registry and the kernels
// share.  docs/kernels.md says where each number comes from.
#pragma once

#include <cstdint>

namespace flashdec::cuda {

// Levels of the tree of splits that a block folds by itself.
constexpr int kMostLevels = 3;

// Warps of a block that read, one for each scheduler of a multiprocessor, and as many that merge
// what those have read.
constexpr int kWarps = 4;
constexpr int kThreads = 2 * 32 * kWarps;

// Of a block, for what one warp finds out for all (dealer.cuh).
constexpr int kShelfBytes = 400;

// Of a warp, for how it keeps in step with others (pace.cuh).
constexpr int kPaceBytes = 24;

constexpr int fewer(int a, int b) {
  return a < b ? a : b;
}

// Compile-time shape of a kernel.  Rows of up to HeadDim elements, up to Heads query heads at a
// time.  Both ways to copy have tiles of the same tokens, so that they give the same bits.  A warp
// has room for Stages tiles, of which one is on its way.  `Room` is the shared memory that a block
// may have.
template <int HeadDim, int Heads, int Stages, int MergeBuffers, int Room>
struct TensorShape {
  static constexpr int kHeadDim = HeadDim;
  static constexpr int kHeads = Heads;
  static constexpr int kHeadTiles = Heads / 8;
  // Rows lie in panels of 64 columns, the widest that the tensor copies swizzle.
  static constexpr int kPanels = (HeadDim + 63) / 64;
  // Tokens that a warp takes at a time.
  static constexpr int kTile = kPanels == 1 ? 64 : kPanels == 2 ? 32 : 16;
  static constexpr int kTileBytes = kTile * kPanels * 128;  // of K, and again of V
  // Each reading warp owns its tokens, its ring of tiles and its (m, l, o).
  static constexpr int kWarps = cuda::kWarps;
  static constexpr int kMergeStride = HeadDim + 4;  // floats; + 4 spreads heads over the banks
  // Sums of the piece that is merged while the readers go on, and of the next one.
  static constexpr int kMergeBuffers = MergeBuffers;
  static constexpr int kMergeBytes = kWarps * Heads * (kMergeStride + 2) * 4;

  static constexpr int kStages = Stages;
  static constexpr int kWarpRingBytes = Stages * 2 * kTileBytes;
  static constexpr int kRingBytes = kWarps * kWarpRingBytes;
  static constexpr int kBarrierBytes = (kWarps * Stages + 2 * kMergeBuffers) * 8;
  static constexpr int kPaceBytes = Stages > 1 ? kWarps * cuda::kPaceBytes : 0;
  static constexpr int kSmem = kRingBytes + kMergeBuffers * kMergeBytes + kBarrierBytes +
                               kShelfBytes + kPaceBytes + 1024;  // to align

  // Nodes of the tree that wait for their neighbour, one for each level.
  static constexpr int kLevelBytes = Heads * (HeadDim / 4) * 24;
  static constexpr int kLevels = fewer(kMostLevels, (Room - kSmem) / kLevelBytes);
  static constexpr int kFoldBytes = kLevels * kLevelBytes;
};

// One tile of every warp, 12 or 16 KB, is on its way, always: it is asked for as soon as the one
// before it arrives, into the place of the one before that.
template <int HeadDim, int Heads>
using TmaShape = TensorShape<HeadDim, Heads, 2, 2, 227 * 1024>;

// Fits the 99 KB of sm_86, sm_89 and sm_120: room for one tile, whose K makes way for the next
// tile's while its V is in use, and the other way round.
template <int HeadDim, int Heads>
using AsyncShape = TensorShape<HeadDim, Heads, 1, 1, 99 * 1024>;

}  // namespace flashdec::cuda
