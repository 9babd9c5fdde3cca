// Which tokens each block of threads takes: the partition of the cache over a persistent grid.
//
// A unit is one key/value head (and one block of query heads) of one sequence.  Three ways to deal
// units to the G blocks of the grid:
//   rounds   every length the same: whole units in equal rounds; each one left over is cut into
//            parts whose tiles interleave, so that neighbours read neighbouring memory together;
//   spans    lengths differ: the tiles of all sequences in a row, cut into equal spans;
//   splits   the plan fixes the splits: neighbouring ones make a node (tree.cuh), and the nodes of
//            all sequences in a row are cut into equal spans.
//
// A span is walked by a team of blocks, each for another unit of the sequence: heads are neighbours
// in memory, so that together they read whole rows.  Where a team takes a sequence in several
// turns, the row of tiles holds each of them.
#pragma once

#include <climits>

#include "cuda/device/tensor_core.cuh"
#include "cuda/tensor/params.h"

namespace flashdec::cuda {

constexpr int kBadLen = -1;

// In spans, a new sequence takes a block as long as this many tiles more.
constexpr int kBeginning = 1;

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
  int part;   // rounds: which of `parts`; splits: which split
  int parts;  // rounds; splits and spans: quanta of the unit
  int start;  // splits and spans: of the turn, in pieces of the whole launch
};

constexpr int kLengthsDiffer = -2;

// What the lengths say.
struct Survey {
  int common;  // length of every sequence, kBadLen too, or kLengthsDiffer
  int quanta;  // of all sequences
  int first;   // length of the sequence of this lane's number
};

// What every thread knows of the launch as a whole.
struct Partition {
  bool in_rounds;
  int len;  // rounds: of every sequence, kBadLen too, or kLengthsDiffer
  Rounds rounds;
  // Spans, splits: pieces of all turns, dealt to teams; a piece is 2^level quanta.
  int level;
  int each;      // to every team
  int rest;      // teams that get one more, the first ones
  int sequence;  // where this team begins
  int offset;    // pieces into that
  int length;    // of that

  __device__ int begin(int team) const { return team * each + min(team, rest); }
  // The team that has a piece.
  __device__ int owner(int position) const {
    const int larger = rest * (each + 1);
    return position < larger ? position / (each + 1) : rest + (position - larger) / each;
  }
};

struct Dealer {
  const TensorParams& p;

  __device__ bool fixed() const { return p.deal == Deal::kSplits; }
  __device__ int units() const { return static_cast<int>(p.units.value); }
  __device__ int tiles(int len) const { return len <= 0 ? 0 : ((len - 1) >> p.tile_log) + 1; }
  // Quanta before the first tile of a sequence: what it costs to begin one.
  __device__ int lead(int len) const { return !fixed() && len > 0 ? kBeginning : 0; }
  // A sequence without tokens still takes a quantum: someone must write its outputs.
  __device__ int quanta(int len) const {
    if (len <= 0) return 1;
    return fixed() ? p.split_len.divide(len - 1) + 1 : kBeginning + tiles(len);
  }
  __device__ int pieces(int len, int level) const { return ((quanta(len) - 1) >> level) + 1; }
  __device__ int length(int sequence) const {
    if (p.kv_lens == nullptr) return p.kv_len;
    const int len = p.kv_lens[sequence];
    return len >= 0 && len <= p.max_kv_len ? len : kBadLen;
  }

  __device__ int team() const { return p.team.divide(static_cast<int>(blockIdx.x)); }
  __device__ int member() const {
    return static_cast<int>(blockIdx.x) - team() * static_cast<int>(p.team.value);
  }
  // By whole warps, each for itself.
  __device__ Survey survey() const {
    if (p.kv_lens == nullptr) return {p.kv_len, p.batch * quanta(p.kv_len), p.kv_len};
    int low = INT_MAX;
    int high = INT_MIN;
    int sum = 0;
    int first = 0;
#pragma unroll 4
    for (int b = threadIdx.x % 32; b < p.batch; b += 32) {
      const int len = length(b);
      if (b < 32) first = len;
      low = min(low, len);
      high = max(high, len);
      sum += quanta(len);
    }
    low = __reduce_min_sync(kAllLanes, low);
    high = __reduce_max_sync(kAllLanes, high);
    sum = __reduce_add_sync(kAllLanes, sum);
    return {low == high ? low : kLengthsDiffer, sum, first};
  }

  // By whole warps, each for itself.
  __device__ Partition partition(const Survey& survey) const {
    Partition all = {};
    all.in_rounds =
        p.deal == Deal::kRounds || (p.deal == Deal::kByLengths && survey.common != kLengthsDiffer);
    all.len = survey.common;
    if (p.deal == Deal::kRounds) {
      all.rounds = p.rounds;
    } else if (all.in_rounds) {
      const int most = max(tiles(survey.common) / static_cast<int>(kLeastTiles), 1);
      all.rounds = {p.rounds.whole, p.rounds.left_over, min(p.most_parts, most)};
    } else {
      if (fixed()) all.level = fold_level(survey);
      const int total = pieces(survey, all.level) * p.team_units;
      all.each = p.teams.divide(total);
      all.rest = total - all.each * static_cast<int>(p.teams.value);
      find_start(all, survey);
    }
    return all;
  }

  // Of all sequences, by whole warps.
  __device__ int pieces(const Survey& survey, int level) const {
    if (level == 0) return survey.quanta;
    if (survey.common != kLengthsDiffer) return p.batch * pieces(survey.common, level);
    int sum = 0;
#pragma unroll 4
    for (int b = threadIdx.x % 32; b < p.batch; b += 32)
      sum += pieces(b < 32 ? survey.first : length(b), level);
    return __reduce_add_sync(kAllLanes, sum);
  }

  // How far to fold: a matter of speed alone.  Nodes are dealt whole; more of them are dealt more
  // evenly, fewer are less to combine.
  __device__ int fold_level(const Survey& survey) const;

  __device__ void find_start(Partition& all, const Survey& survey) const;
};

// What a node costs to exchange, in splits.
constexpr float kNodeCost = 1.0f / 32;

__device__ inline int Dealer::fold_level(const Survey& survey) const {
  int best = p.levels;
  float least_cost = INFINITY;
#pragma unroll 1
  for (int level = p.levels; level >= 0; --level) {
    const int all = survey.common != kLengthsDiffer
                        ? p.batch * pieces(survey.common, level)
                        : (survey.quanta + p.batch * ((1 << level) - 1) / 2) >> level;
    const int each = p.grid.divide(all * units() - 1) + 1;
    if (each > kMostNodes) break;
    const float cost = static_cast<float>(each) * (static_cast<float>(1 << level) + kNodeCost);
    if (cost >= least_cost) continue;
    least_cost = cost;
    best = level;
  }
  return best;
}

__device__ inline void Dealer::find_start(Partition& all, const Survey& survey) const {
  const int target = all.begin(team());
  if (all.len != kLengthsDiffer) {
    const int of_sequence = pieces(all.len, all.level) * p.team_units;
    all.sequence = p.batch == 1 ? 0 : target / of_sequence;
    all.offset = target - all.sequence * of_sequence;
    all.length = all.len;
    return;
  }
  const int lane = threadIdx.x % 32;
  int before = 0;
#pragma unroll 1
  for (int base = 0; base < p.batch; base += 32) {
    const bool there = base + lane < p.batch;
    const int len = base == 0 ? survey.first : there ? length(base + lane) : 0;
    const int here = there ? pieces(len, all.level) * p.team_units : 0;
    int end = here;  // of this lane's sequence
#pragma unroll
    for (int distance = 1; distance < 32; distance *= 2) {
      const int other = __shfl_up_sync(kAllLanes, end, distance);
      if (lane >= distance) end += other;
    }
    end += before;
    const unsigned beyond = __ballot_sync(kAllLanes, end > target);
    if (beyond != 0) {
      const int found = __ffs(static_cast<int>(beyond)) - 1;
      all.sequence = base + found;
      all.offset = target - __shfl_sync(kAllLanes, end - here, found);
      all.length = __shfl_sync(kAllLanes, len, found);
      return;
    }
    before = __shfl_sync(kAllLanes, end, 31);
  }
}

}  // namespace flashdec::cuda
