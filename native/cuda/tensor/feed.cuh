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

template <class Warp, class Params>
__device__ inline void ask_queries(Warp& warp, const Params& p, const Piece& piece) {
  warp.ask(p, piece.sequence, first_head_of(p, piece.unit), heads_of(p, piece.unit));
}

// What was asked for before the lengths were known: the first tile of this warp and its queries, by
// a guess.
template <class Places>
struct Ahead {
  Places places;
  bool asked = false;
  bool both = false;  // the second tile of this warp, too
  int sequence = 0;
  int unit = 0;
  int token = 0;
  int step = 0;

  __device__ explicit Ahead(const Places& in) : places(in) {}

  __device__ bool has_queries(const Piece& piece) const {
    return asked && piece.sequence == sequence && piece.unit == unit;
  }
  template <class Shape>
  __device__ bool has_tile(const Piece& piece) const {
    return has_queries(piece) && piece.step == step && piece.token<Shape>(this_warp()) == token;
  }

  // Before anything may be read.
  template <class Shape, class Copy>
  __device__ void aim(const Piece& piece, const Copy& copy) {
    if (piece.tiles_of<Shape>(this_warp()) <= 0) return;
    asked = true;
    sequence = piece.sequence;
    unit = piece.unit;
    token = piece.token<Shape>(this_warp());
    step = piece.step;
    places.aim(copy, steps_of<Shape>(piece));
  }

  // In pages the queries come first, while page ids are on their way, unless `tile_first`: that
  // pays where more code has to be fetched than theirs before the tile is taken.
  template <class Shape, class Copy, class Warp, class Params>
  __device__ void ask(const Params& p, Copy& copy, const Stages<Shape>& stages, Warp& warp,
                      bool tile_first = false) {
    if (!asked) return;
    const Piece piece = {sequence, unit};
    constexpr bool kRows = !Places::kPaged;
    places.begin_aimed();
    if (!kRows && !tile_first) ask_queries(warp, p, piece);
    places.issue(copy, stages.keys(0), stages.values(0), 0, kv_head_of(p, unit));
    if (kRows || tile_first) ask_queries(warp, p, piece);
  }

  // The second tile as well, once it is known that the guess was right.  What comes next is code
  // that has to be fetched, and while tiles are on their way that takes as long as they do.
  template <class Shape, class Copy>
  __device__ void ask_second(const TensorParams& p, const Piece& piece, Copy& copy,
                             const Stages<Shape>& stages) {
    if (Shape::kStages < 2 || !asked || piece.tiles_of<Shape>(this_warp()) < 2) return;
    both = true;
    places.issue(copy, stages.keys(1), stages.values(1), 1, kv_head_of(p, unit));
  }
};

template <class Shape, class Copy, class Places, class Deal>
struct Feed {
  Copy& copy;
  Places places;
  Stages<Shape> stages;
  typename Deal::Cursor cursor;
  int left;  // tiles of this warp to come in the piece at hand
  int head;
  bool primed = false;  // the next fill has been made
  // Where another warp finds the pieces:
  int at_hand = 0;  // the number of the one that the arithmetic is at
  int coming = 0;   // tiles that were asked for and not taken

  __device__ Feed(const typename Deal::Cursor& from, Copy& copier, const Places& in,
                  const Stages<Shape>& ring)
      : copy(copier), places(in), stages(ring), cursor(from), left(0) {}

  __device__ void enter(const Piece& piece) {
    left = piece.tiles_of<Shape>(this_warp());
    head = kv_head_of(cursor.deal.p, piece.unit);
  }

  // The next piece of which this warp has a tile; left is 0 if there is none, or none in sight.
  __device__ void find(Piece& piece) {
    while (left <= 0 && cursor.sees(at_hand) && cursor.next(piece))
      enter(piece);
  }

  // The arithmetic begins piece `number`: this may look further than before, if it saw no tile; the
  // next one goes to `stage`.
  __device__ void look_on(int number, int stage) {
    at_hand = number;
    if (coming > 0 || left > 0) return;
    next_piece();
    if (left <= 0) return;
    ask_first(stage);
    advance();
  }

  __device__ void begin(const Piece& piece) { places.begin(copy, steps_of<Shape>(piece)); }

  __device__ void next_piece() {
    Piece piece;
    find(piece);
    if (left > 0) begin(piece);
  }

  // After the last tile of a piece finds out where the next piece is.
  __device__ void advance() {
    if (--left <= 0) next_piece();
  }

  // Asks for the next tile.
  __device__ void fill(int stage) {
    if (primed) {
      primed = false;
    } else if (left > 0) {
      places.issue(copy, stages.keys(stage), stages.values(stage), stage, head);
      ++coming;
      advance();
    }
    copy.commit();
  }

  // Asks for the first tile from `piece` on, unless that was done already, and calls meanwhile(),
  // before it has to wait if it can.  If another tile was asked for, its stage is left alone until
  // that has arrived.
  template <class Meanwhile>
  __device__ Ring<Shape> start(const Piece& piece, const Ahead<Places>& ahead,
                               const Meanwhile& meanwhile) {
    enter(piece);
    Ring<Shape> ring;
    const bool same = left > 0 && ahead.template has_tile<Shape>(piece);
    if (same) ++coming;
    const bool another = left > 0 && !same;
    if (ahead.both) {
      primed = true;
      ++coming;
      --left;
    }
    if (ahead.asked && !same) ring.step();
    if (same) {
      places.settle(copy, piece.len);
    } else {
      wait_for_previous();
    }
    // The guess was right, so the second tile is known, too (as in ask_second).
    if (Shape::kStages > 1 && !Places::kPaged && same && !primed && left > 1) {
      primed = true;
      places.issue(copy, stages.keys(1), stages.values(1), 1, head);
      ++coming;
      --left;
    }
    if (another) begin(piece);
    if (Places::kPaged) meanwhile();  // page ids are on their way
    if (another) ask_first(ring.stage);
    if (!Places::kPaged) meanwhile();
    bool none = left <= 0;  // of the first piece
    while (advance(), __builtin_expect(none && left > 0, false)) {
      ask_first(ring.stage);
      none = false;
    }
    if (ahead.asked && !same) copy.wait(0, 0);
    return ring;
  }

  __device__ void ask_first(int stage) {
    places.issue(copy, stages.keys(stage), stages.values(stage), stage, head);
    ++coming;
    copy.commit();
    copy.issue_values();
  }
};

}  // namespace flashdec::cuda
