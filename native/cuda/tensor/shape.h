// The configurations of the tensor-core split kernels, as data that the registry and the kernels
// share.  docs/kernels.md says where each number comes from.
#pragma once

#include <cstdint>

namespace flashdec::cuda {

// Levels of the tree of fixed splits that a block folds by itself.
constexpr int kMostLevels = 3;

constexpr int fewer(int a, int b) {
  return a < b ? a : b;
}

// Compile-time shape of a kernel.  Rows of up to HeadDim elements, up to Heads query heads at a
// time, Tile tokens that a warp takes at a time.  A warp has Stages tiles, of which Spare are never
// asked for: so it can ask for the next tile as soon as one arrives, rather than when it is done
// with it.  `Room` is the shared memory that a block may have.
template <int HeadDim, int Heads, int Tile, int Stages, int Spare, int MergeBuffers, int Room>
struct TensorShape {
  static constexpr int kHeadDim = HeadDim;
  static constexpr int kHeads = Heads;
  static constexpr int kHeadTiles = Heads / 8;
  static constexpr int kTile = Tile;
  // Each warp owns its tokens, its ring of tiles and its (m, l, o).
  static constexpr int kWarps = HeadDim <= 128 || Room > 99 * 1024 ? 4 : 2;
  static constexpr int kThreads = 32 * kWarps;
  static constexpr int kTileBytes = kTile * HeadDim * 2;  // of K, and again of V
  static constexpr int kMergeStride = HeadDim + 4;  // floats; + 4 spreads heads over the banks
  // Sums of the unit that a warp merges while the others go on, and of the next one.
  static constexpr int kMergeBuffers = MergeBuffers;
  static constexpr int kMergeBytes = kWarps * Heads * (kMergeStride + 2) * 4;

  static constexpr int kStages = Stages;
  static constexpr int kAhead = Stages - Spare;  // tiles on their way
  static constexpr int kWarpRingBytes = Stages * 2 * kTileBytes;
  static constexpr int kRingBytes = kWarps * kWarpRingBytes;
  static constexpr int kBarrierBytes = (kWarps * Stages + 2 * kMergeBuffers) * 8;
  static constexpr int kSmem =
      kRingBytes + kMergeBuffers * kMergeBytes + kBarrierBytes + 1024;  // to align the ring

  // With fixed splits: nodes of the tree that wait for their neighbour, one for each level.
  static constexpr int kLevelBytes = Heads * (HeadDim / 4) * 24;
  static constexpr int kLevels = fewer(kMostLevels, (Room - kSmem) / kLevelBytes);
  static constexpr int kFoldBytes = kLevels * kLevelBytes;
};

// About 64 KB in flight on a multiprocessor: with more, memory serves the queues unevenly.
template <int HeadDim, int Heads>
using TmaShape = TensorShape<HeadDim, Heads,
                             HeadDim <= 64    ? 64
                             : HeadDim <= 128 ? 32
                                              : 16,
                             2, 1, 2, 227 * 1024>;

// Fits the 99 KB of sm_86, sm_89 and sm_120.
template <int HeadDim, int Heads>
using AsyncShape = TensorShape<HeadDim, Heads, HeadDim <= 64 ? 32 : 16, 2, 0, 1, 99 * 1024>;

}  // namespace flashdec::cuda
