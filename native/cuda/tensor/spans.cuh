// Lengths that differ: the tiles of all sequences in a row, cut into equal spans.
//
// A span is walked by a team of blocks, each for another unit of the sequence: heads are neighbours
// in memory, so that together they read whole rows.  Where a team takes a sequence in several
// turns, the row of tiles holds each of them.  Only the first and the last unit of a block can be
// shared with another, so two slots a block hold all partial results.
#pragma once

#include "cuda/tensor/cut.cuh"
#include "cuda/tensor/work.cuh"

namespace flashdec::cuda {

// Of a sequence, in every turn of a team.
struct SpanRows {
  Quanta quanta;
  int turns;

  __device__ int operator()(int len) const { return quanta.of(len) * turns; }
};

// What every thread knows of the launch as a whole.
struct Spans {
  const TensorParams& p;
  Survey survey;
  int each;  // quanta of every team
  int rest;  // teams that get one more, the first ones

  static constexpr bool kAnyLength = true;
  static constexpr bool kFolds = false;

  __device__ Spans(const TensorParams& params, const Survey& lengths) : p(params), survey(lengths) {
    const int total = survey.quanta * p.team_units;
    each = p.teams.divide(total);
    rest = total - each * static_cast<int>(p.teams.value);
  }

  __device__ int quanta(int len) const { return Quanta(p).of(len); }
  __device__ SpanRows rows() const { return {Quanta(p), p.team_units}; }
  __device__ Window next_window(const Window& shown, int rows_before) const {
    return show_next(rows(), Lengths(p), shown.base + 32, rows_before);
  }
  __device__ int team() const { return p.team.divide(static_cast<int>(blockIdx.x)); }
  __device__ int member() const {
    return static_cast<int>(blockIdx.x) - team() * static_cast<int>(p.team.value);
  }
  // Teams beyond the last one have nothing.
  __device__ int begin(int of_team) const { return of_team * each + min(of_team, rest); }
  // The team that has a quantum of the row.
  __device__ int owner(int position) const {
    const int larger = rest * (each + 1);
    return position < larger ? position / (each + 1) : rest + (position - larger) / each;
  }
  __device__ Cut cut(const Piece& piece) const {
    if (piece.len <= 0 || piece.tiles + kBeginning >= piece.parts) return {0, 0, 0, 0, 1};
    const int size = static_cast<int>(p.team.value);
    const int first = owner(piece.row + kBeginning);
    const int last = owner(piece.row + piece.parts - 1);
    // The first part of a unit goes to the second slot of its block, others to the first.
    const int slot = 2 * (first * size + member());
    return {slot + 1, slot, 2 * size, team() - first, last - first + 1};
  }
  __device__ int slot(const Piece& piece) const {
    const Cut of = cut(piece);
    return of.parts > 1 ? of.slot(of.part) : kNoSlot;
  }

  // Steps through the span of this block's team.  By whole warps.
  struct Cursor {
    const Spans& deal;
    Window shown;
    int position;  // in the row
    int end;       // of this team's
    int sequence;
    int len;
    int turn;    // of the team at the sequence
    int offset;  // quanta into the turn

    __device__ explicit Cursor(const Spans& all)
        : deal(all),
          shown(show(all.rows(), all.p.batch, 0, all.survey.first, 0)),
          position(all.begin(all.team())),
          end(all.begin(min(all.team() + 1, static_cast<int>(all.p.teams.value)))) {
      if (position == end) return;
      for (int rows = shown.rows(); position >= rows; rows = shown.rows())
        shown = all.next_window(shown, rows);
      const Window::Entry found = shown.find(position);
      const int of_turn = all.quanta(found.len);
      offset = position - (found.end - of_turn * all.p.team_units);
      turn = 0;
      for (; offset >= of_turn; offset -= of_turn)
        ++turn;
      sequence = found.sequence;
      len = found.len;
    }

    // All that this team has of a turn.
    __device__ bool next(Piece& piece) {
      do {
        if (position == end) return false;
        piece.sequence = sequence;
        piece.unit = turn * static_cast<int>(deal.p.team.value) + deal.member();
        piece.len = len;
        piece.row = position - offset;
        piece.parts = deal.quanta(len);
        const int take = min(piece.parts - offset, end - position);
        const int lead = len > 0 ? kBeginning : 0;
        piece.first = max(offset - lead, 0);
        piece.step = 1;
        piece.tiles = len > 0 ? max(offset + take - lead, 0) - piece.first : 0;
        position += take;
        offset += take;
        if (offset == piece.parts) advance();
      } while (piece.len > 0 && piece.tiles == 0);  // a beginning alone
      return true;
    }

    __device__ void advance() {
      offset = 0;
      if (++turn < deal.p.team_units) return;
      turn = 0;
      ++sequence;
      if (position == end) return;
      if (sequence == shown.base + 32) shown = deal.next_window(shown, shown.rows());
      len = shown.entry(sequence - shown.base).len;
    }
  };
};

}  // namespace flashdec::cuda
