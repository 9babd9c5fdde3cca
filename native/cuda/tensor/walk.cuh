// The work of one block, step by step.
#pragma once

#include "cuda/tensor/packet.cuh"
#include "cuda/tensor/work.cuh"

namespace flashdec::cuda {

// Steps through the work of this block.  Cheap enough to keep two: one for the loads, which run
// ahead, and one for the arithmetic.
template <class Shape>
struct Walk {
  int next_round;  // rounds: -1 is the part of a unit left over
  int sequence;    // spans, splits: the quantum at hand
  int turn;        // of the team at its sequence
  int len;
  int offset;    // quanta into the turn
  int position;  // of it in the launch
  int end;       // of this team's

  __device__ Walk(const Dealer<Shape>& dealer, const Partition& all) {
    next_round =
        blockIdx.x < static_cast<unsigned>(all.rounds.left_over * all.rounds.parts) ? -1 : 0;
    if (all.in_rounds) return;
    const int team = dealer.team();
    position = all.begin(team);
    end = all.begin(min(team + 1, static_cast<int>(dealer.p.teams.value)));
    sequence = all.sequence;
    len = all.length;
    const int each = dealer.quanta(len);
    turn = dealer.p.team_units == 1 ? 0 : all.offset / each;
    offset = all.offset - turn * each;
  }

  __device__ bool next(const Dealer<Shape>& dealer, const Partition& all, Work& work) {
    return all.in_rounds ? next_in_round(dealer, all, work) : next_in_span(dealer, work);
  }

  __device__ bool next_in_round(const Dealer<Shape>& dealer, const Partition& all, Work& work) {
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

  __device__ bool next_in_span(const Dealer<Shape>& dealer, Work& work) {
    if (position == end) return false;
    const int each = dealer.quanta(len);
    const bool fixed = dealer.fixed();
    const int take = min(fixed ? 1 : each - offset, end - position);
    const int in_quantum = dealer.quantum_tiles();
    const int first = offset * in_quantum;
    work.sequence = sequence;
    work.unit = turn * static_cast<int>(dealer.p.team.value) + dealer.member();
    work.len = len;
    work.tiles = {first, 1, min(take * in_quantum, dealer.tiles(len) - first)};
    work.part = offset;
    work.parts = each;
    work.start = position - offset;
    position += take;
    offset += take;
    if (offset == each) advance(dealer);
    return true;
  }

  __device__ void advance(const Dealer<Shape>& dealer) {
    offset = 0;
    if (++turn < dealer.p.team_units) return;
    turn = 0;
    ++sequence;
    if (position < end) len = dealer.length(sequence);
  }
};

template <class Shape>
__device__ Cut cut_of(const Dealer<Shape>& dealer, const Partition& all, const Work& work) {
  const int block = static_cast<int>(blockIdx.x);
  if (all.in_rounds) return {block - work.part, 1, work.part, work.parts};
  const int team = static_cast<int>(dealer.p.team.value);
  if (work.tiles.count == work.parts) return {block, team, 0, 1};
  const int first = all.owner(work.start);
  const int last = all.owner(work.start + work.parts - 1);
  return {first * team + dealer.member(), team, dealer.team() - first, last - first + 1};
}

}  // namespace flashdec::cuda
