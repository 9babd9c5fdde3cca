// All that a deal has for one block: tiles through the arithmetic, and the sums of each piece to
// where they belong.
//
// Every warp owns its tokens: its own ring of tiles, its own (m, l, o); the block meets only at the
// end of a piece, or of a split.
#pragma once

#include "cuda/tensor/feed.cuh"
#include "cuda/tensor/meeting.cuh"
#include "cuda/tensor/sink.cuh"

namespace flashdec::cuda {

// Tokens of a warp between two transfers of its sums to shared memory.  The tensor cores cut off
// what float32 cannot hold at each addition, so that long sums in one register would drift.
constexpr int kFlushTokens = 4096;

template <class E, class Shape, class Copy, class Feed, class Deal>
struct Reading {
  using Warp = Attention<E, Shape>;
  using PerHead = float[Shape::kHeadTiles][2];

  const Deal& deal;
  Copy& copy;
  Feed& feed;
  Meeting<E, Shape>& meeting;
  const Sink<E, Shape, Deal> sink;
  Ring<Shape> ring;
  Warp warp;

  // True if a page id of the tile was unusable.
  __device__ bool take_tile(int live) {
    const int stage = ring.stage;
    copy.wait(stage, ring.parity);
    const bool bad = feed.places.bad(stage);
    if (Shape::kStages > 1) feed.fill(ring.before());
    if (live < Shape::kTile) copy.clear_tail(feed.stages.values(stage), live);
    typename Warp::Scores s;
    warp.score(feed.stages.keys(stage), copy.layout(), s);
    if (Shape::kStages == 1) {
      __syncwarp();  // every lane has read the keys
      feed.fill(stage);
    }
    warp.weigh(s, deal.p.score_factor, live);
    copy.wait_values();
    warp.add_values(feed.stages.values(stage), copy.layout(), s);
    __syncwarp();  // every lane has read the tile
    if (Shape::kStages == 1) copy.issue_values();
    ring.step();
    return bad;
  }

  // The tiles from `begin` to `end` of a piece, and their sums into the buffer of the meeting.
  __device__ void attend(const Piece& piece, int begin, int end, int& live) {
    PerHead flushed_m;
    PerHead l = {};
    bool bad = false;
    bool flushed = false;
    int until_flush = kFlushTokens / Shape::kTile;
    const int stride = piece.step * Shape::kWarps * Shape::kTile;
#pragma unroll 1
    for (int i = begin + this_warp(); i < end; i += Shape::kWarps) {
      bad |= take_tile(live);
      live -= stride;
      if (!Deal::kAnyLength || --until_flush > 0) continue;
      if (!flushed) meeting.enter();
      flush(flushed_m, l, flushed, heads_of(deal.p, piece.unit));
      warp.clear_values();
      until_flush = kFlushTokens / Shape::kTile;
      flushed = true;
    }
    if (!flushed) meeting.enter();
    flush(flushed_m, l, flushed, heads_of(deal.p, piece.unit));
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
      meeting.merge().template leave<true>(warp, keep, heads);
    } else {
      meeting.merge().template leave<false>(warp, keep, heads);
    }
  }

  __device__ void ask(const Piece& piece) {
    if (!Deal::kAnyLength || piece.len > 0)
      warp.ask(deal.p, piece.sequence, first_head_of(deal.p, piece.unit),
               heads_of(deal.p, piece.unit));
  }

  // `last`: no piece follows.
  __device__ void take_piece(const Piece& piece, bool last) {
    const int slot = deal.slot(piece);
    int live = piece.len - piece.token<Shape>(this_warp());
    int begin = 0;
#pragma unroll 1
    for (int split = 0; begin < piece.tiles; ++split) {
      int end = piece.tiles;
      bool folds = false;
      if constexpr (Deal::kFolds) {
        end = min(begin + deal.p.split_tiles, end);
        folds = deal.level > 0;
      }
      const bool ends = end == piece.tiles;
      attend(piece, begin, end, live);
      meeting.leave(last && ends, folds,
                    [&](const Merge<E, Shape>& merge, int thread, int threads) {
                      sink.store(merge, {piece, slot, split, ends}, {thread, threads});
                    });
      if (!ends) warp.reset();
      begin = end;
    }
  }

  __device__ void run() {
    typename Deal::Cursor cursor(deal);
    Piece next;
    bool more = cursor.next(next);
    if (more) ask(next);
#pragma unroll 1
    while (more) {
      const Piece piece = next;
      warp.start();
      more = cursor.next(next);
      if (more) ask(next);
      if constexpr (Deal::kAnyLength) {
        if (piece.len <= 0) {
          sink.store_without_attention(piece);
          continue;
        }
      }
      take_piece(piece, !more);
    }
  }
};

}  // namespace flashdec::cuda
