// The work of one block, step by step.
#pragma once

#include "cuda/tensor/packet.cuh"
#include "cuda/tensor/tree.cuh"
#include "cuda/tensor/work.cuh"

namespace flashdec::cuda {

// Steps through the work of this block.  Cheap enough to keep two: one for the loads, which run
// ahead, and one for the arithmetic.
struct Walk {
  int next_round;  // rounds: -1 is the part of a unit left over
  int sequence;    // spans, splits: the quantum at hand
  int turn;        // of the team at its sequence
  int len;
  int offset;    // quanta into the turn
  int position;  // of its piece in the launch
  int end;       // of this team's

  __device__ Walk(const Dealer& dealer, const Partition& all) {
    next_round =
        blockIdx.x < static_cast<unsigned>(all.rounds.left_over * all.rounds.parts) ? -1 : 0;
    if (all.in_rounds) return;
    const int team = dealer.team();
    position = all.begin(team);
    end = all.begin(min(team + 1, static_cast<int>(dealer.p.teams.value)));
    sequence = all.sequence;
    len = all.length;
    const int each = dealer.pieces(len, all.level);
    turn = dealer.p.team_units == 1 ? 0 : all.offset / each;
    offset = (all.offset - turn * each) << all.level;
  }

  __device__ bool next(const Dealer& dealer, const Partition& all, Work& work) {
    if (all.in_rounds) return next_in_round(dealer, all, work);
    do {
      if (position == end) return false;
      work.sequence = sequence;
      work.unit = turn * static_cast<int>(dealer.p.team.value) + dealer.member();
      work.len = len;
      work.part = offset;
      work.parts = dealer.quanta(len);
      work.start = position - (offset >> all.level);
      offset += dealer.fixed() ? take_split(dealer, all, work) : take_span(dealer, work);
      if (offset == work.parts) advance(dealer);
    } while (work.len > 0 && work.tiles.count == 0);  // a beginning alone
    return true;
  }

  __device__ bool next_in_round(const Dealer& dealer, const Partition& all, Work& work) {
    if (next_round >= all.rounds.whole) return false;
    int index = next_round * static_cast<int>(gridDim.x) + static_cast<int>(blockIdx.x);
    work.part = 0;
    work.parts = 1;
    if (next_round < 0) {  // first, so that others have their parts when this block needs them
      const int block = static_cast<int>(blockIdx.x);
      const int cut = block / all.rounds.parts;
      index = all.rounds.whole * static_cast<int>(gridDim.x) + cut;
      work.part = block - cut * all.rounds.parts;
      work.parts = all.rounds.parts;
    }
    ++next_round;
    work.sequence = dealer.p.units.divide(index);
    work.unit = index - work.sequence * dealer.units();
    work.len = all.len != kLengthsDiffer ? all.len : dealer.length(work.sequence);
    const int tiles = dealer.tiles(work.len);
    work.tiles = {work.part, work.parts, tiles};
    if (work.parts > 1) work.tiles.count = (tiles - work.part + work.parts - 1) / work.parts;
    return true;
  }

  // One split; the piece ends with its last one.
  __device__ int take_split(const Dealer& dealer, const Partition& all, Work& work) {
    const int first = offset * dealer.p.split_tiles;
    work.tiles = {first, 1, min(dealer.p.split_tiles, dealer.tiles(len) - first)};
    if (ends_node(offset, work.parts, all.level)) ++position;
    return 1;
  }

  // All that this team has of the turn.
  __device__ int take_span(const Dealer& dealer, Work& work) {
    const int take = min(work.parts - offset, end - position);
    const int lead = dealer.lead(len);
    const int first = max(offset - lead, 0);
    work.tiles = {first, 1, len > 0 ? max(offset + take - lead, 0) - first : 0};
    position += take;
    return take;
  }

  __device__ void advance(const Dealer& dealer) {
    offset = 0;
    if (++turn < dealer.p.team_units) return;
    turn = 0;
    ++sequence;
    if (position < end) len = dealer.length(sequence);
  }
};

__device__ inline Cut cut_of(const Dealer& dealer, const Partition& all, const Work& work) {
  const int block = static_cast<int>(blockIdx.x);
  if (all.in_rounds) return {block - work.part, 1, work.part, work.parts};
  const int team = static_cast<int>(dealer.p.team.value);
  const int lead = dealer.lead(work.len);
  if (work.tiles.count + lead >= work.parts) return {block, team, 0, 1};
  const int first = all.owner(work.start + lead);
  const int last = all.owner(work.start + work.parts - 1);
  return {first * team + dealer.member(), team, dealer.team() - first, last - first + 1};
}

}  // namespace flashdec::cuda
