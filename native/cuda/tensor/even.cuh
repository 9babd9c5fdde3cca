// Units of one length: the most common case, and one where a microsecond shows.
//
// Block c of G takes the units c, c + G, ...; of the units left over after whole rounds each is cut
// into parts for neighbouring blocks.  A block reads its part first, so that the others' parts are
// there when it has read the rest.
#pragma once

#include "cuda/tensor/exchange.cuh"
#include "cuda/tensor/work.cuh"

namespace flashdec::cuda {

// Of one block of a unit; more would need the transfers of read.cuh.
constexpr int64_t kEvenTokens = 65536;

// What a block knows of the launch.
struct Even {
  const EvenParams& p;
  int len;      // tokens of every sequence
  int tiles;    // of a unit
  int whole;    // rounds
  int divided;  // parts of a unit left over
  // This block's part of one.
  int cut;  // the unit
  int part;
  int parts;  // 0: it has none
  int part_tiles;

  static constexpr bool kAnyLength = false;
  static constexpr bool kFolds = false;

  // Of the length that the host knows.
  __device__ explicit Even(const EvenParams& params)
      : p(params),
        len(p.kv_len),
        tiles(p.tiles),
        whole(p.whole),
        divided(static_cast<int>(p.parts.value)),
        cut(0),
        part(0),
        parts(0),
        part_tiles(0) {
    const int block = static_cast<int>(blockIdx.x);
    if (block >= p.cut_blocks) return;
    const int index = p.parts.divide(block);
    parts = divided;
    part = block - index * parts;
    cut = p.first_cut + index;
    part_tiles = p.part_tiles + (part < p.part_rest ? 1 : 0);
  }

  // The same for one found on the device, which is not longer.
  __device__ void take_length(const TensorParams& q, int common) {
    if (common == len) return;
    len = common;
    tiles = ((len - 1) >> q.tile_log) + 1;
    const int fewest = max(tiles / static_cast<int>(kLeastTiles), 1);
    if (fewest < divided) return divide(q, fewest);
    if (parts > 0) part_tiles = q.parts.divide(tiles - part + divided - 1);
  }

  // Units are too short for as many parts.
  __device__ void divide(const TensorParams& q, int into) {
    divided = into;
    parts = 0;
    const int block = static_cast<int>(blockIdx.x);
    if (block >= q.left_over * divided) return;
    const int index = block / divided;
    parts = divided;
    part = block - index * parts;
    cut = p.first_cut + index;
    part_tiles = (tiles - part + parts - 1) / parts;
  }

  // Tokens that a block takes of one unit, at most; the same for all blocks.
  __device__ int64_t longest_part(int tile_log) const {
    return whole > 0 ? len : int64_t{(tiles - 1) / divided + 1} << tile_log;
  }

  __device__ Cut shared() const { return {static_cast<int>(blockIdx.x) - part, 1, part, parts}; }
  __device__ int slot(const Piece& piece) const {
    return piece.step > 1 ? shared().slot(part) : kNoSlot;
  }

  // Of round -1: this block's part of a unit left over.
  __device__ Piece piece(int round) const {
    const bool is_whole = round >= 0;
    const int index =
        is_whole ? round * static_cast<int>(gridDim.x) + static_cast<int>(blockIdx.x) : cut;
    Piece of;
    of.sequence = p.units.divide(index);
    of.unit = index - of.sequence * static_cast<int>(p.units.value);
    of.len = len;
    of.first = is_whole ? 0 : part;
    of.step = is_whole ? 1 : parts;
    of.tiles = is_whole ? tiles : part_tiles;
    return of;
  }

  struct Cursor {
    const Even& deal;
    int round;

    __device__ explicit Cursor(const Even& all) : deal(all), round(all.parts > 0 ? -1 : 0) {}

    __device__ bool next(Piece& piece) {
      if (round >= deal.whole) return false;
      piece = deal.piece(round++);
      return true;
    }
  };
};

// This block's share of the columns of the unit that it has a part of.
template <class E>
__device__ inline void reduce_cut(const Even& even, const Shares& shares, const Receiver& receive) {
  const Piece piece = even.piece(-1);
  const Cut cut = even.shared();
  Reader<E>{even.p, cut, receive, shares, piece.sequence, piece.unit * even.p.group}.reduce();
}

}  // namespace flashdec::cuda
