// Units of one length: the most common case, and one where a microsecond shows.
//
// What is left over after whole rounds are the first units, each cut into parts for neighbouring
// blocks; then block c of G takes unit c of every round.  A block reads its part first, so that the
// others' parts are there when it has read the rest.  Blocks beyond those take the last tiles of
// such units, a few of each, so that they read as much as the others.
#pragma once

#include "cuda/tensor/cut.cuh"
#include "cuda/tensor/work.cuh"

namespace flashdec::cuda {

// What a block knows of the launch.
struct Even {
  const EvenParams& p;
  int len;      // tokens of every sequence
  int tiles;    // of a unit
  int whole;    // rounds
  int divided;  // parts of a unit left over, beside its end
  int end;      // tiles of the end; 0: it has none
  // This block's share of those units: a part of one, or the ends of some.
  int shares;
  int cut;  // the first unit, among those left over
  int part;
  int share_tiles;
  bool one_sequence = false;  // the compiler knows: every unit is of sequence 0

  static constexpr bool kAnyLength = false;
  static constexpr bool kFolds = false;
  static constexpr bool kDealt = false;

  // Of the length that the host knows.
  __device__ explicit Even(const EvenParams& params)
      : p(params),
        len(p.kv_len),
        tiles(p.tiles),
        whole(p.whole),
        divided(static_cast<int>(p.parts.value)),
        end(p.end_tiles),
        shares(0),
        cut(0),
        part(0),
        share_tiles(0) {
    const int block = static_cast<int>(blockIdx.x);
    if (block < p.cut_blocks) {
      const int index = p.parts.divide(block);
      take_part(index, block - index * divided);
      share_tiles = p.part_tiles + (part < p.part_rest ? 1 : 0);
    } else if (end > 0) {
      take_ends(block - p.cut_blocks);
    }
  }

  __device__ void take_part(int of, int number) {
    shares = 1;
    cut = of;
    part = number;
  }

  __device__ void take_ends(int first) {
    shares = p.ends - (first < p.ends_rest ? 0 : 1);
    cut = first;
    part = divided;
    share_tiles = end;
  }

  // The same for one found on the device, which is not longer.
  __device__ void take_length(const TensorParams& q, int common) {
    if (common == len) return;
    len = common;
    tiles = ((len - 1) >> q.tile_log) + 1;
    const int fewest = turns_of(tiles);
    if (fewest < divided) return divide(q, fewest);
    if (end > 0) end = end_length({whole, q.first_whole, divided, q.spare, q.ends, 0}, tiles);
    if (part < divided) {
      share_tiles = q.parts.divide(tiles - end - part + divided - 1);
    } else if (end > 0) {
      share_tiles = end;
    } else {
      shares = 0;
    }
  }

  // Units are too short for as many parts.
  __device__ void divide(const TensorParams& q, int into) {
    divided = into;
    end = 0;
    shares = 0;
    const int block = static_cast<int>(blockIdx.x);
    if (block >= q.first_whole * divided) return;
    const int index = block / divided;
    take_part(index, block - index * divided);
    share_tiles = (tiles - part + divided - 1) / divided;
  }

  // Tokens that a block takes of one unit, at most; the same for all blocks.
  __device__ int64_t longest_part(int tile_log) const {
    return whole > 0 ? len : int64_t{(tiles - 1) / divided + 1} << tile_log;
  }

  __device__ Load load(int warp) const {
    const auto of_warp = [warp](int of) { return (of - warp + kTurn - 1) / kTurn; };
    const int64_t units = p.first_whole + int64_t{whole} * gridDim.x;
    const int blocks = whole > 0 || end > 0 ? static_cast<int>(gridDim.x) : p.first_whole * divided;
    return {whole * of_warp(tiles) + shares * of_warp(share_tiles), units * tiles, blocks};
  }

  // What another block has, if that is a part.
  __device__ void take_part_of(int block) {
    const int index = block / divided;
    take_part(index, block - index * divided);
  }

  // Of a unit left over.
  __device__ int parts() const { return divided + (end > 0 ? 1 : 0); }
  // Whether this block is one of those that make one result of them.
  __device__ bool reduces() const { return shares > 0 && part < divided && parts() > 1; }
  __device__ Cut shared() const {
    const int slot = cut * parts();
    return {0, 0, slot, 1, part, parts()};
  }
  __device__ int slot(const Piece& piece) const { return piece.row; }
  __device__ int64_t packet(int slot, int quad) const {
    return striped_index(p, slot - part, parts(), part, quad);
  }

  // Whether this block begins with all, or the beginning, of the unit of its own number, however
  // long the sequences are: as it does where they differ, too (spans.cuh).
  __device__ bool begins_alike() const {
    const bool left_over = static_cast<int>(blockIdx.x) < p.cut_blocks;
    return whole > 0 && p.parts.value == 1 && (left_over || p.first_whole == 0);
  }

  // Rounds below 0: of the units left over, from round -1 down.
  __device__ Piece piece(int round) const {
    const int block = static_cast<int>(blockIdx.x);
    const int of_cut = cut - (round + 1) * p.spare;
    const bool is_whole = round >= 0;
    const bool is_end = part == divided;
    const int index =
        is_whole ? p.first_whole + round * static_cast<int>(gridDim.x) + block : of_cut;
    Piece of;
    of.sequence = one_sequence ? 0 : p.units.divide(index);
    of.unit = index - of.sequence * static_cast<int>(p.units.value);
    of.len = len;
    of.first = is_whole ? 0 : is_end ? tiles - end : part;
    of.step = is_whole || is_end ? 1 : divided;
    of.tiles = is_whole ? tiles : share_tiles;
    of.row = is_whole || parts() == 1 ? kNoSlot : of_cut * parts() + part;
    return of;
  }

  struct Cursor {
    const Even& deal;
    int round;

    __device__ explicit Cursor(const Even& all) : deal(all), round(-all.shares) {}

    __device__ static bool sees(int) { return true; }
    __device__ bool next(Piece& piece) {
      if (round >= deal.whole) return false;
      piece = deal.piece(round++);
      return true;
    }
  };
};

// Whether sequences are cut into parts.
__device__ inline bool are_even(const TensorParams& p, const Survey& survey, const Even& even) {
  return p.even && survey.common > 0 && even.longest_part(p.tile_log) <= kEvenTokens;
}

}  // namespace flashdec::cuda
