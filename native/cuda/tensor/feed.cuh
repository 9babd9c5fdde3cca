// The tiles of one warp: a ring of them, and the loads, which run ahead of the arithmetic across
// pieces of work.
#pragma once

#include "cuda/device/dependency.cuh"
#include "cuda/tensor/attend.cuh"
#include "cuda/tensor/places.cuh"
#include "cuda/tensor/work.cuh"

namespace flashdec::cuda {

// Where the next tile is, and which phase of its barrier says that it is there.
template <class Shape>
struct Ring {
  int stage = 0;
  uint32_t parity = 0;

  // The stage of the tile that was taken last.
  __device__ int before() const { return (stage == 0 ? Shape::kStages : stage) - 1; }
  __device__ void step() {
    if (++stage < Shape::kStages) return;
    stage = 0;
    parity ^= 1;
  }
};

__device__ inline int this_warp() {
  return static_cast<int>(threadIdx.x) / 32;
}

template <class Shape>
__device__ inline Steps steps_of(const Piece& piece) {
  return {piece.sequence, piece.token<Shape>(this_warp()),
          piece.step * Shape::kWarps * Shape::kTile, piece.len};
}

// The stages of one warp in shared memory.
template <class Shape>
struct Stages {
  uint32_t first;

  __device__ uint32_t keys(int stage) const { return first + stage * (2 * Shape::kTileBytes); }
  __device__ uint32_t values(int stage) const { return keys(stage) + Shape::kTileBytes; }
};

// A tile that was asked for before the lengths were known: the first one of this warp, if all
// sequences are as long as they may be.
template <class Places>
struct Ahead {
  Places places;
  bool asked = false;
  int sequence = 0;
  int unit = 0;
  int token = 0;
  int step = 0;
};

template <class Shape, class Deal, class Copy, class Places>
__device__ inline void ask_ahead(const Deal& deal, Copy& copy, const Stages<Shape>& stages,
                                 Ahead<Places>& ahead) {
  typename Deal::Cursor cursor(deal);
  Piece piece;
  if (!cursor.next(piece) || piece.tiles_of<Shape>(this_warp()) <= 0) return;
  ahead.asked = true;
  ahead.sequence = piece.sequence;
  ahead.unit = piece.unit;
  ahead.token = piece.token<Shape>(this_warp());
  ahead.step = piece.step;
  ahead.places.begin(copy, steps_of<Shape>(piece));
  ahead.places.issue(copy, stages.keys(0), stages.values(0), 0, kv_head_of(deal.p, piece.unit));
}

template <class Shape, class Copy, class Places, class Deal>
struct Feed {
  Copy& copy;
  Places places;
  Stages<Shape> stages;
  typename Deal::Cursor cursor;
  int left;  // tiles of this warp to come in the piece at hand
  int head;

  __device__ Feed(const typename Deal::Cursor& first, Copy& copier, const Places& in,
                  const Stages<Shape>& ring)
      : copy(copier), places(in), stages(ring), cursor(first), left(0) {}

  // The next piece of which this warp has a tile; left is 0 if there is none.
  __device__ void find(Piece& piece) {
    while (left <= 0 && cursor.next(piece)) {
      left = piece.tiles_of<Shape>(this_warp());
      head = kv_head_of(cursor.deal.p, piece.unit);
    }
  }

  __device__ void begin(const Piece& piece) { places.begin(copy, steps_of<Shape>(piece)); }

  __device__ void next_piece() {
    Piece piece;
    find(piece);
    if (left > 0) begin(piece);
  }

  // Asks for the next tile; after the last one of a piece finds out where the next piece is.
  __device__ void fill(int stage) {
    if (left > 0) {
      places.issue(copy, stages.keys(stage), stages.values(stage), stage, head);
      if (--left == 0) next_piece();
    }
    copy.commit();
  }

  // The first tile, after next_piece().
  __device__ Ring<Shape> start() {
    wait_for_previous();
    fill(0);
    copy.issue_values();
    return {};
  }

  // The first tile, unless it was asked for already.  If another one was, its stage is left alone
  // until it has arrived.
  __device__ Ring<Shape> start(const Ahead<Places>& ahead) {
    Piece piece;
    find(piece);
    const bool same = ahead.asked && left > 0 && piece.sequence == ahead.sequence &&
                      piece.unit == ahead.unit && piece.step == ahead.step &&
                      piece.token<Shape>(this_warp()) == ahead.token;
    Ring<Shape> ring;
    if (same) {
      places.settle(copy, piece.len);
      if (--left == 0) next_piece();
      return ring;
    }
    if (left > 0) begin(piece);
    if (ahead.asked) ring.step();
    wait_for_previous();
    fill(ring.stage);
    copy.issue_values();
    if (ahead.asked) copy.wait(0, 0);
    return ring;
  }
};

}  // namespace flashdec::cuda
