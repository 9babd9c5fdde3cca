// Lengths that differ: each team of blocks begins with a strip of its own, wherever the others
// begin, and goes on with what is left over.
//
// A team is a few blocks, each for another unit of a sequence: heads are neighbours in memory, so
// that together they read whole rows.  A strip is what it takes of a sequence in one turn.  All
// teams take as many quanta.  Team t leads strip t: takes as much of it as it may, from its first
// tile on, which is known before any length is.  The rest of long strips, and strips that no one
// leads, make a line, which is cut between the teams that have something free, in their order.
//
// A partial result needs a slot.  A team that shares the strip that it leads has nothing free, and
// keeps two: for that part, and for the one where the strip goes on.  Of the others, only the first
// and the last unit of a place in the line can be shared with others and not be of that kind.
#pragma once

#include "core/split.h"
#include "cuda/tensor/cut.cuh"
#include "cuda/tensor/work.cuh"

namespace flashdec::cuda {

// Which teams lead, and what they leave.  Strips are led of the first 32 sequences only: each lane
// knows one of their lengths.
struct Strips {
  Quanta quanta;
  int turns;  // of a team at a sequence
  int leads;  // teams that lead
  int each;   // quanta that a team takes, at most

  // Of a sequence.
  __device__ int led_of(int sequence) const { return max(min(leads - sequence * turns, turns), 0); }
  // Of a strip that is led.
  __device__ int left_over(int len) const { return max(quanta.of(len) - each, 0); }
  // To the team that leads it.
  __device__ int free(int len) const { return max(each - quanta.of(len), 0); }

  // In the line.
  __device__ int operator()(int sequence, int len) const {
    const int led = led_of(sequence);
    return led * left_over(len) + (turns - led) * quanta.of(len);
  }
};

__device__ inline int team_of(const TensorParams& p) {
  return p.team.divide(static_cast<int>(blockIdx.x));
}
__device__ inline int member_of(const TensorParams& p) {
  return static_cast<int>(blockIdx.x) - team_of(p) * static_cast<int>(p.team.value);
}
__device__ inline int leads_of(const TensorParams& p) {
  return min(static_cast<int>(p.teams.value), min(p.batch, 32) * static_cast<int>(p.turns.value));
}

// At least a tile for every warp.
__device__ inline int share_of(const TensorParams& p, const Survey& survey) {
  const int all = survey.quanta * static_cast<int>(p.turns.value);
  return max(p.teams.divide(all - 1) + 1, kBeginning + kTurn);
}

// Where a team is in a strip.
struct Strip {
  int sequence;
  int turn;
  int len;
  int offset;  // quanta
};

// The next `take` quanta of a strip.
__device__ inline Piece piece_of(const TensorParams& p, const Strip& strip, int take) {
  const int beginning = strip.len > 0 ? kBeginning : 0;
  Piece of;
  of.sequence = strip.sequence;
  of.unit = strip.turn * static_cast<int>(p.team.value) + member_of(p);
  of.len = strip.len;
  of.parts = Quanta(p).of(strip.len);
  of.first = max(strip.offset - beginning, 0);
  of.step = 1;
  of.tiles = strip.len > 0 ? max(strip.offset + take - beginning, 0) - of.first : 0;
  of.row = 0;
  return of;
}

// The strip that this block's team leads.
struct Lead {
  const TensorParams& p;
  bool any;
  int sequence;
  int turn;

  __device__ explicit Lead(const TensorParams& params)
      : p(params), any(team_of(params) < leads_of(params)) {
    sequence = p.turns.divide(team_of(p));
    turn = team_of(p) - sequence * static_cast<int>(p.turns.value);
  }

  // If it were as long as it may be.
  __device__ Piece longest() const {
    return piece_of(p, {sequence, turn, p.kv_len, 0}, Quanta(p).of(p.kv_len));
  }
  // What the team takes of it.
  __device__ Piece piece(const Survey& survey) const {
    const int len = __shfl_sync(kAllLanes, survey.first, sequence);
    return piece_of(p, {sequence, turn, len, 0}, min(Quanta(p).of(len), share_of(p, survey)));
  }
};

// What every thread knows of the launch as a whole.
struct Spans {
  // Of a team in the line.
  struct Place {
    int position;
    int quanta;
    int rank;  // among the teams that have a place
  };

  static constexpr bool kAnyLength = true;
  static constexpr bool kFolds = false;
  static constexpr bool kDealt = false;

  const TensorParams& p;
  Survey survey;
  Strips strips;
  // Of the teams that lead strips up to those of the sequence of this lane's number.
  int free;     // quanta
  int helpers;  // teams that have any free
  Place own;

  __device__ Spans(const TensorParams& params, const Survey& lengths)
      : p(params), survey(lengths), strips{Quanta(p), turns(), leads_of(p), share_of(p, survey)} {
    const int led = strips.led_of(static_cast<int>(threadIdx.x) % 32);
    const int of_each = strips.free(survey.first);
    free = sum_up_to_lane(led * of_each);
    helpers = sum_up_to_lane(of_each > 0 ? led : 0);
    own = place(team());
  }

  __device__ int turns() const { return static_cast<int>(p.turns.value); }
  __device__ int quanta(int len) const { return strips.quanta.of(len); }
  __device__ int teams() const { return static_cast<int>(p.teams.value); }
  __device__ int team() const { return team_of(p); }
  __device__ int member() const { return member_of(p); }

  __device__ static int of_lane(int value, int lane) { return __shfl_sync(kAllLanes, value, lane); }

  __device__ Place place(int of) const {
    if (of >= strips.leads) {
      const int others = of - strips.leads;
      return {of_lane(free, 31) + others * strips.each, of < teams() ? strips.each : 0,
              of_lane(helpers, 31) + others};
    }
    const int sequence = p.turns.divide(of);
    const int from_here = strips.led_of(sequence) - (of - sequence * turns());
    const int mine = strips.free(of_lane(survey.first, sequence));
    return {of_lane(free, sequence) - from_here * mine, mine,
            of_lane(helpers, sequence) - (mine > 0 ? from_here : 0)};
  }
  // Of the team that has a quantum of the line.
  __device__ int rank_of(int position) const {
    const unsigned beyond = __ballot_sync(kAllLanes, free > position);
    if (beyond == 0) return of_lane(helpers, 31) + (position - of_lane(free, 31)) / strips.each;
    const int sequence = __ffs(static_cast<int>(beyond)) - 1;
    const int until_end = of_lane(free, sequence) - 1 - position;
    return of_lane(helpers, sequence) - 1 -
           until_end / strips.free(of_lane(survey.first, sequence));
  }

  __device__ Cut cut(const Piece& piece) const {
    if (piece.len <= 0 || piece.tiles + kBeginning >= piece.parts) return {0, 0, 0, 0, 0, 1};
    const int strip = piece.sequence * turns() + p.team.divide(piece.unit);
    const bool led = strip < strips.leads;
    const int first = rank_of(piece.row + (led ? strips.each : kBeginning));
    const int last = rank_of(piece.row + piece.parts - 1);
    const int size = static_cast<int>(p.team.value);
    const int first_slot = 2 * (first * size + member());
    const int part = own.rank - first;
    if (!led) return {first_slot + 1, 1, first_slot, 2 * size, part, last - first + 1};
    // From the end on, those that have no place.
    const int leader = teams() - 1 - (strip - place(strip).rank);
    return {2 * (leader * size + member()),  2,
            first_slot - 2 * size,           2 * size,
            piece.first == 0 ? 0 : part + 1, last - first + 2};
  }
  // Quanta of a strip.
  __device__ int in_line(const Strip& strip) const {
    const bool led = strip.sequence * turns() + strip.turn < strips.leads;
    return led ? strips.left_over(strip.len) : quanta(strip.len);
  }

  __device__ int slot(const Piece& piece) const { return cut(piece).own_slot(); }
  __device__ int64_t packet(int slot, int quad) const { return packet_index(p, slot, quad); }

  // Steps through what this block's team has.  By whole warps.
  struct Cursor {
    const Spans& deal;
    bool leads;            // and has not done so yet
    bool entered = false;  // the line
    Window shown = {};     // of it
    int position;          // in it
    int end;               // of this team's place
    Strip at = {};

    __device__ explicit Cursor(const Spans& all)
        : deal(all),
          leads(all.team() < all.strips.leads),
          position(all.own.position),
          end(position + all.own.quanta) {}

    __device__ Window first_window() const {
      return show(deal.strips, deal.p.batch, 0, deal.survey.first, 0);
    }

    __device__ void enter() {
      entered = true;
      if (position == end) return;
      shown = first_window();
      for (int rows = shown.rows(); position >= rows; rows = shown.rows()) {
        if (shown.base + 32 >= deal.p.batch) {  // more is free than left over
          end = position;
          return;
        }
        next_window();
      }
      const Window::Entry found = shown.find(position);
      at = {found.sequence, 0, found.len, 0};
      int of_sequence = position - (found.end - deal.strips(at.sequence, at.len));
      for (; of_sequence >= deal.in_line(at); ++at.turn)
        of_sequence -= deal.in_line(at);
      at.offset = deal.quanta(at.len) - deal.in_line(at) + of_sequence;
    }

    __device__ static bool sees(int) { return true; }
    __device__ bool next(Piece& piece) {
      if (leads) {
        leads = false;
        piece = lead();
        return true;
      }
      if (!entered) enter();
      do {
        if (position == end) return false;
        const int take = min(deal.quanta(at.len) - at.offset, end - position);
        piece = piece_of(deal.p, at, take);
        piece.row = position - at.offset;
        position += take;
        at.offset += take;
        if (at.offset == piece.parts) advance();
      } while (piece.len > 0 && piece.tiles == 0);  // a beginning alone
      return true;
    }

    __device__ Piece lead() const {
      const Lead lead(deal.p);
      Piece of = lead.piece(deal.survey);
      const int left_over = deal.strips.left_over(of.len);
      if (left_over == 0) return of;
      const int before =
          of_lane(first_window().end, lead.sequence) - deal.strips(lead.sequence, of.len);
      of.row = before + lead.turn * left_over - deal.strips.each;
      return of;
    }

    // To the next strip of which there is something in the line.
    __device__ void advance() {
      if (position == end) return;
      do {
        if (++at.turn < deal.turns()) continue;
        at.turn = 0;
        if (++at.sequence == deal.p.batch) {
          end = position;
          return;
        }
        if (at.sequence == shown.base + 32) next_window();
        at.len = shown.entry(at.sequence - shown.base).len;
      } while (deal.in_line(at) == 0);
      at.offset = deal.quanta(at.len) - deal.in_line(at);
    }

    __device__ void next_window() {
      shown = show_next(deal.strips, Lengths(deal.p), shown.base + 32, shown.rows());
    }
  };
};

}  // namespace flashdec::cuda
