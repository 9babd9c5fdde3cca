// All that a deal has for one block: tiles through the arithmetic, and the sums of each piece to
// where they belong.
//
// Every reading warp owns its tokens: its own ring of tiles, its own (m, l, o); the block meets
// only at the end of a piece, or of a split.
#pragma once

#include "cuda/tensor/feed.cuh"
#include "cuda/tensor/meeting.cuh"
#include "cuda/tensor/pace.cuh"
#include "cuda/tensor/sink.cuh"

namespace flashdec::cuda {

// Tokens of a warp between two transfers of its sums to shared memory.  The tensor cores cut off
// what float32 cannot hold at each addition, so that long sums in one register would drift.
constexpr int kFlushTokens = 4096;

// What both halves of a block go through, in the same order.
template <class E, class Shape, class Deal>
struct Block {
  const Deal& deal;
  Meeting<E, Shape>& meeting;
  const Sink<E, Shape, Deal> sink;
  // What is left at the last meeting, which both halves store together: the code is fetched once.
  Leaf left = {};
  bool any_left = false;

  // For every piece of `work` calls begin() with its number, then take(piece, find, another), which
  // has to call find(true); then `another` says whether there is one more piece, and ask() has been
  // called with it.  Before that, find(false) does so if it need not wait.
  template <class Begin, class Ask, class Take>
  __device__ void for_each_piece(Work<Deal> work, const Begin& begin, const Ask& ask,
                                 const Take& take) {
#pragma unroll 1
    for (int number = 0; work.any; ++number) {
      begin(number);
      if constexpr (Deal::kDealt) {
        if (!work.found) work.step();
        if (!work.any) return;
        deal.taken(number);
      }
      const Piece piece = work.piece;
      bool known = false;
      const auto find = [&](bool must) {
        if (known) return;
        if constexpr (Deal::kDealt)
          if (!must && !work.cursor.is_ready()) return;
        known = true;
        work.step();
        if (work.any) ask(work.piece);
      };
      take(piece, find, work.any);
    }
  }

  // Whether there is nothing to attend to.
  __device__ static bool is_empty(const Piece& piece) { return Deal::kAnyLength && piece.len <= 0; }

  __device__ bool folds() const {
    if constexpr (Deal::kFolds) return deal.level > 0;
    return false;
  }

  // Calls take(begin, end) for the tiles of every split of a piece, of the whole of it where there
  // are no splits; then meet(leaf), but of the last piece's last split.
  template <class Take, class Meet>
  __device__ void for_each_split(const Piece& piece, const bool& another, const Take& take,
                                 const Meet& meet) {
    int begin = 0;
#pragma unroll 1
    for (int split = 0; begin < piece.tiles; ++split) {
      int end = piece.tiles;
      if constexpr (Deal::kFolds) end = min(begin + deal.p.split_tiles, end);
      take(begin, end);
      begin = end;
      const Leaf leaf = {piece, deal.slot(piece), split, end == piece.tiles};
      if (leaf.last && !another) {
        left = leaf;
        any_left = true;
        return;
      }
      meet(leaf);
      meeting.next();
    }
  }

  // By both halves.
  __device__ void finish() const {
    if (!any_left) return;
    meeting.close(folds(), [&](const Merge<E, Shape>& merge, const Worker& worker) {
      sink.store(merge, left, worker);
    });
  }

  // The half that merges.
  template <class Dealer>
  __device__ void merge_all(const Work<Deal>& work, Dealer dealer) {
    for_each_piece(
        work, [&](int number) { dealer.deal_from(number); }, [](const Piece&) {},
        [&](const Piece& piece, const auto& find, const bool& another) {
          find(true);
          if (is_empty(piece)) {
            if constexpr (Deal::kAnyLength) store_without_attention<E>(deal.p, piece, merger());
            return;
          }
          for_each_split(
              piece, another, [](int, int) {},
              [&](const Leaf& leaf) {
                meeting.attend([&](const Merge<E, Shape>& merge, const Worker& worker) {
                  sink.store(merge, leaf, worker);
                });
              });
        });
  }
};

// The half that reads.
template <class E, class Shape, class Copy, class Feed, class Deal, class Pacing>
struct Reading {
  using Warp = Attention<E, Shape>;
  using PerHead = float[Shape::kHeadTiles][2];

  Block<E, Shape, Deal>& block;
  Copy& copy;
  Feed& feed;
  Ring<Shape> ring;
  Warp& warp;
  Pacing pace = {};

  // True if a page id of the tile was unusable.
  __device__ bool take_tile(int live) {
    const int stage = ring.stage;
    const uint32_t others = pace.ask(block.deal.p);
    copy.wait(stage, ring.parity);
    const bool bad = feed.places.bad(stage);
    pace.wait();
    if (Shape::kStages > 1) feed.fill(ring.before());
    pace.count(block.deal.p, others);
    if (live < Shape::kTile) copy.clear_tail(feed.stages.values(stage), live);
    typename Warp::Scores s;
    warp.score(feed.stages.keys(stage), copy.layout(), s);
    if (Shape::kStages == 1) {
      __syncwarp();  // every lane has read the keys
      feed.fill(stage);
    }
    warp.weigh(s, block.deal.p.score_factor, live);
    copy.wait_values();
    warp.add_values(feed.stages.values(stage), copy.layout(), s);
    __syncwarp();  // every lane has read the tile
    if (Shape::kStages == 1) copy.issue_values();
    ring.step();
    --feed.coming;
    return bad;
  }

  // The tiles from `begin` to `end` of a piece, and their sums into the buffer of the meeting.
  template <class Find>
  __device__ void attend(const Piece& piece, int begin, int end, int& live, const Find& find) {
    Meeting<E, Shape>& meeting = block.meeting;
    const int heads = heads_of(block.deal.p, piece.unit);
    PerHead flushed_m;
    PerHead l = {};
    bool bad = false;
    bool flushed = false;
    int until_flush = kFlushTokens / Shape::kTile;
    const int stride = piece.step * Shape::kWarps * Shape::kTile;
#pragma unroll 1
    for (int i = begin + this_warp(); Deal::kDealt || i < end; i += Shape::kWarps) {
      if (i < end) {
        bad |= take_tile(live);
        live -= stride;
      }
      if constexpr (Deal::kDealt) {  // also if this warp has no tile
        find(i + Shape::kWarps >= end);
        if (i >= end) break;
      }
      if (!Deal::kAnyLength || --until_flush > 0) continue;
      if (!flushed) meeting.enter();
      flush(flushed_m, l, flushed, heads);
      warp.clear_values();
      until_flush = kFlushTokens / Shape::kTile;
      flushed = true;
    }
    if (!flushed) meeting.enter();
    flush(flushed_m, l, flushed, heads);
    if (bad) feed.places.poison(l);
    meeting.merge().leave_states(warp, l);
  }

  __device__ void flush(PerHead& flushed_m, PerHead& l, bool again, int heads) {
    PerHead keep;
#pragma unroll
    for (int t = 0; t < Shape::kHeadTiles; ++t)
#pragma unroll
      for (int h = 0; h < 2; ++h) {
        keep[t][h] = again ? merge_factor(flushed_m[t][h], warp.m[t][h]) : 0.0f;
        l[t][h] = l[t][h] * keep[t][h] + warp.l[t][h];
        flushed_m[t][h] = warp.m[t][h];
        warp.l[t][h] = 0.0f;
      }
    if (Deal::kAnyLength && again) {
      block.meeting.merge().template leave<true>(warp, keep, heads);
    } else {
      block.meeting.merge().template leave<false>(warp, keep, heads);
    }
  }

  // The queries of the first piece have been asked for.
  __device__ void read_all(const Work<Deal>& work) {
    pace.begin(block.deal);
    bool has_queries = true;
    block.for_each_piece(
        work,
        [&](int number) {
          warp.start();
          if (!Warp::kAsksAhead) has_queries = number == 0;
          if constexpr (Deal::kDealt) feed.look_on(number, ring.stage);
        },
        [&](const Piece& next) {
          if (Warp::kAsksAhead && !block.is_empty(next)) ask_queries(warp, block.deal.p, next);
        },
        [&](const Piece& piece, const auto& find, const bool& another) {
          if (!Deal::kDealt || block.is_empty(piece)) find(true);
          if (block.is_empty(piece)) return;
          if (!has_queries) ask_queries(warp, block.deal.p, piece);
          int live = piece.len - piece.token<Shape>(this_warp());
          block.for_each_split(
              piece, another,
              [&](int begin, int end) {
                if (begin > 0) warp.reset();
                attend(piece, begin, end, live, find);
                block.meeting.leave();
              },
              [](const Leaf&) {});
        });
    pace.end();
  }
};

}  // namespace flashdec::cuda
