// Which tokens each block of threads takes: the partition of the cache over a persistent grid.
//
// A unit is one key/value head (and one block of query heads) of one sequence.  Three ways to deal
// units to the G blocks of the grid:
//   rounds   every length the same: whole units in equal rounds; each one left over is cut into
//            parts whose tiles interleave, so that neighbours read neighbouring memory together;
//   spans    lengths differ: the tiles of all sequences in a row, cut into equal spans;
//   splits   the plan fixes the splits: those of all sequences in a row, cut into equal spans.
//
// A span is walked by a team of blocks, each for another unit of the sequence: heads are neighbours
// in memory, so that together they read whole rows.  Where a team takes a sequence in several
// turns, the row of tiles holds each of them.
#pragma once

#include "cuda/device/tensor_core.cuh"
#include "cuda/tensor/exchange.cuh"
#include "cuda/tensor/params.h"

namespace flashdec::cuda {

constexpr int kBadLen = -1;

// Tiles first, first + step, ..., `count` of them.
struct Tiles {
  int first;
  int step;
  int count;
};

struct Work {
  int sequence;
  int unit;  // of the sequence
  int len;   // tokens of the sequence; 0: nothing to attend to, kBadLen: unusable
  Tiles tiles;
  int part;       // rounds: which of `parts`; splits: which split
  int parts;      // rounds; splits and spans: quanta of the unit
  int64_t start;  // spans: of the unit, in quanta of the whole launch
};

constexpr int kLengthsDiffer = -2;

// What every thread knows of the launch as a whole.
struct Partition {
  bool in_rounds;
  int len;  // rounds: of every sequence, kBadLen too, or kLengthsDiffer
  Rounds rounds;
  int64_t total;   // spans, splits: quanta of all turns
  int64_t offset;  // of this team's first quantum in its sequence
  int sequence;    // where this team begins
};

template <class Shape>
struct Dealer {
  const TensorParams& p;

  __device__ bool fixed() const { return p.deal == Deal::kSplits; }
  __device__ int units() const { return static_cast<int>(p.units.value); }
  __device__ int quantum() const { return fixed() ? p.split_len : Shape::kTile; }
  __device__ static int tiles(int len) { return len <= 0 ? 0 : (len - 1) / Shape::kTile + 1; }
  // A sequence without tokens still takes a quantum: someone must write its outputs.
  __device__ int quanta(int len) const {
    if (!fixed()) return max(tiles(len), 1);
    return len <= 0 ? 1 : (len - 1) / p.split_len + 1;
  }
  __device__ int length(int sequence) const {
    if (p.kv_lens == nullptr) return p.kv_len;
    const int len = p.kv_lens[sequence];
    return len >= 0 && len <= p.max_kv_len ? len : kBadLen;
  }

  __device__ int team() const { return p.team.divide(static_cast<int>(blockIdx.x)); }
  __device__ int member() const {
    return static_cast<int>(blockIdx.x) - team() * static_cast<int>(p.team.value);
  }
  // Teams that have a quantum: a part of a unit must not be an empty one.
  __device__ int64_t takers(const Partition& all) const {
    return min(static_cast<int64_t>(p.teams), all.total);
  }
  // First quantum of a team.
  __device__ int64_t begin(const Partition& all, int team) const {
    return team < takers(all) ? all.total * team / takers(all) : all.total;
  }
  // The team that has a quantum.
  __device__ int owner(const Partition& all, int64_t position) const {
    return static_cast<int>(((position + 1) * takers(all) - 1) / all.total);
  }

  __device__ void start_rounds(Partition& all, int len) const {
    all.in_rounds = true;
    all.len = len;
    const int count = p.batch * units();
    const int grid = static_cast<int>(gridDim.x);
    const int whole = count / grid;
    const int left_over = count - whole * grid;
    const int most = max(tiles(len) / static_cast<int>(kLeastTiles), 1);
    all.rounds = {whole, left_over, min(p.most_parts, most)};
  }

  __device__ void start_splits(Partition& all, int len) const {
    const int64_t each = int64_t{p.team_units} * quanta(len);
    all.total = p.batch * each;
    const int64_t first = begin(all, team());
    all.sequence = static_cast<int>(first / each);
    all.offset = first - all.sequence * each;
  }

  // Of every sequence, kBadLen too, or kLengthsDiffer.  By all threads of the block.
  __device__ int common_length() const {
    if (p.kv_lens == nullptr) return p.kv_len;
    const int first = length(0);
    bool differs = false;
    for (int b = threadIdx.x; b < p.batch; b += Shape::kThreads)
      differs |= length(b) != first;
    return __syncthreads_or(differs) ? kLengthsDiffer : first;
  }

  // By all threads of the block; `scratch` is shared memory for kScratch words.
  __device__ Partition partition(int len, int64_t* scratch) const {
    Partition all = {};
    if (p.deal == Deal::kRounds) {
      all.in_rounds = true;
      all.len = len;
      all.rounds = p.rounds;
    } else if (len == kLengthsDiffer) {
      find_start(all, scratch);
    } else if (fixed()) {
      start_splits(all, len);
    } else {
      start_rounds(all, len);
    }
    return all;
  }
  static constexpr int kScratch = Shape::kWarps + 2;

  __device__ void find_start(Partition& all, int64_t* scratch) const;
};

// The sum over the threads before this one, in thread order; `total` becomes that over all.
template <class Shape>
__device__ int64_t scan_before(int64_t value, int64_t* scratch, int64_t* total) {
  const int lane = threadIdx.x % 32;
  const int warp = threadIdx.x / 32;
  int64_t sum = value;
#pragma unroll
  for (int distance = 1; distance < 32; distance *= 2) {
    const int64_t other = __shfl_up_sync(kAllLanes, sum, distance);
    if (lane >= distance) sum += other;
  }
  __syncthreads();  // the last round's readers
  if (lane == 31) scratch[warp] = sum;
  __syncthreads();
  int64_t before = 0;
  int64_t all = 0;
#pragma unroll
  for (int w = 0; w < Shape::kWarps; ++w) {
    if (w < warp) before += scratch[w];
    all += scratch[w];
  }
  *total = all;
  return before + sum - value;
}

template <class Shape>
__device__ void Dealer<Shape>::find_start(Partition& all, int64_t* scratch) const {
  int64_t mine = 0;
  for (int b = threadIdx.x; b < p.batch; b += Shape::kThreads)
    mine += quanta(length(b));
  int64_t sum;
  scan_before<Shape>(mine, scratch, &sum);
  all.total = sum * p.team_units;
  const int64_t target = begin(all, team());
  int64_t carried = 0;
  for (int base = 0; base < p.batch && carried <= target; base += Shape::kThreads) {
    const int b = base + threadIdx.x;
    const int64_t here = b < p.batch ? int64_t{quanta(length(b))} * p.team_units : 0;
    int64_t chunk;
    const int64_t before = carried + scan_before<Shape>(here, scratch, &chunk);
    if (before <= target && target < before + here) {
      scratch[Shape::kWarps] = b;
      scratch[Shape::kWarps + 1] = target - before;
    }
    carried += chunk;
  }
  __syncthreads();
  all.sequence = static_cast<int>(scratch[Shape::kWarps]);
  all.offset = scratch[Shape::kWarps + 1];
}

// Steps through the work of this block.  Cheap enough to keep two: one for the loads, which run
// ahead, and one for the arithmetic.
template <class Shape>
struct Walk {
  int next_round;  // rounds: -1 is the part of a unit left over
  int sequence;    // spans, splits: the quantum at hand
  int turn;        // of the team at its sequence
  int len;
  int offset;        // quanta into the turn
  int64_t position;  // of it in the launch
  int64_t end;       // of this team's

  __device__ Walk(const Dealer<Shape>& dealer, const Partition& all) {
    next_round =
        blockIdx.x < static_cast<unsigned>(all.rounds.left_over * all.rounds.parts) ? -1 : 0;
    if (all.in_rounds) return;
    position = dealer.begin(all, dealer.team());
    end = dealer.begin(all, dealer.team() + 1);
    sequence = all.sequence;
    len = position < end ? dealer.length(sequence) : 0;
    const int each = dealer.quanta(len);
    turn = static_cast<int>(all.offset / each);
    offset = static_cast<int>(all.offset - int64_t{turn} * each);
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
    int take = fixed ? 1 : each - offset;
    if (take > end - position) take = static_cast<int>(end - position);
    const int in_quantum = fixed ? dealer.quantum() / Shape::kTile : 1;
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
  const int first = dealer.owner(all, work.start);
  const int last = dealer.owner(all, work.start + work.parts - 1);
  return {first * team + dealer.member(), team, dealer.team() - first, last - first + 1};
}

}  // namespace flashdec::cuda
