// The CPU kernel, once, over a small vector type V and an element type E.
//
// An instruction set is a file that defines V, includes this and instantiates steps<V, E>.  All of
// it has internal linkage, so that no code of one instruction set can be linked into another's.
//
// A split is taken in tiles of kTile tokens, each tile by blocks of up to kHeads query heads of one
// key/value head: scores, softmax, weighing (scores.h, softening.h, weighing.h), while the rows of
// the next tile are prefetched, through the page table, and its keys turned, where somebody does so
// (turned.h).  Nothing is prefetched where few query heads take rows that follow each other: the
// processor's own prefetchers do better there, and where such rows are those of a token's heads,
// tokens come before heads (streaming.h).
#pragma once

#include "core/plan.h"
#include "cpu/results.h"
#include "cpu/rows.h"
#include "cpu/scores.h"
#include "cpu/share.h"
#include "cpu/softening.h"
#include "cpu/streaming.h"
#include "cpu/weighing.h"

namespace flashdec::cpu {
namespace {

template <class V, class E>
struct Body {
  using S = State<V, E>;
  using Columns = Chunk<V, E>;
  using Turning = typename Turned<V, E>::Turning;
  static constexpr bool kTurns = Turned<V, E>::kFewestHeads <= kHeads;

  // ---- a block of heads and a tile ----

  // `next` is null where somebody else prefetches its rows.
  static void score(S& state, const Block& block, const Tile& tile, const Tile* next,
                    const Problem& problem) {
    const float factor = problem.scale * kLog2E;
    if constexpr (kTurns) {
      if (block.heads >= Turned<V, E>::kFewestHeads)
        return score_any<kHeads>(state, block, 0, tile, next, factor, problem.head_dim);
    }
    for (int first = 0; first < block.heads; first += kScoreHeads, next = nullptr)
      score_any<kScoreHeads>(state, block, first, tile, next, factor, problem.head_dim);
  }

  template <int NH>
  static void score_any(S& state, const Block& block, int first, const Tile& tile, const Tile* next,
                        float factor, int64_t dim) {
    if (next != nullptr) {
      score_first<NH, true>(state, block, first, tile, next, factor, dim);
    } else {
      score_first<NH, false>(state, block, first, tile, next, factor, dim);
    }
  }

  // Of as many of the block's heads from `first` on as there are, up to NH.
  template <int NH, bool kAhead, class... Rest>
  static void score_first(S& state, const Block& block, int first, const Rest&... rest) {
    if (NH == 1 || block.heads - first >= NH)
      return Scores<V, E>::template block<NH, kAhead>(state, block, first, rest...);
    if constexpr (NH > 1) score_first<NH - 1, kAhead>(state, block, first, rest...);
  }

  template <int NH, class... Rest>
  static void weigh_first(S& state, const Block& block, int first, const Rest&... rest) {
    if (NH == 1 || block.heads - first >= NH)
      return Weighing<V, E>::template block<NH>(state, block, first, rest...);
    if constexpr (NH > 1) weigh_first<NH - 1>(state, block, first, rest...);
  }

  // `upcoming` are turned meanwhile, over those in state.keys: so with a head's last block alone.
  static void attend_block(S& state, const Block& block, const Tile& tile, const Tile* next,
                           const KeyRows& upcoming, const Problem& problem) {
    if (tile.streams && block.heads <= kReadBound) next = nullptr;  // the processor does it
    score(state, block, tile, next, problem);
    for (int h = 0; h < block.heads; ++h) {  // and v's first rows come near meanwhile
      prefetch_near(tile.v[h] + tile.v_at, problem.head_dim_v * static_cast<int64_t>(sizeof(E)));
      Softening<V, E>::soften(state, block, h, tile.count);
    }
    constexpr int kMost = Weighing<V, E>::kMostHeads;
    Turning turning(upcoming, problem.head_dim, state.keys);
    for (int first = 0; first < block.heads; first += kMost, next = nullptr)
      weigh_first<kMost>(state, block, first, tile, next, &turning, problem.head_dim_v);
    turning.finish();
  }

  // ---- queries ----

  static void load_query(S& state, int64_t head, const Launch& launch, const WorkItem& item,
                         int64_t query_head) {
    using P = Products<V, E>;
    const int64_t dim = launch.plan.problem.head_dim;
    const E* const q = static_cast<const E*>(query_row(launch, item.sequence, query_head));
    for (int64_t d = 0; d < dim; d += P::Key::kLength)
      P::keep_query(q, d, dim, state.q_row(head));
  }

  // ---- one item ----

  // From the share's head `done` on.
  static int heads_of_block(const Share& share, int64_t done) {
    const int64_t left = share.count - done;
    return static_cast<int>(left < kHeads ? left : kHeads);
  }

  static void load_queries(S& state, const Share& share) {
    std::memset(state.o, 0, sizeof(float) * static_cast<size_t>(share.heads() * state.o_length));
    for (int64_t i = 0; i < share.heads(); ++i)
      load_query(state, i, share.launch, share.item, share.query_head(i));
    for (int64_t head = 0; head < share.heads(); head += share.count)
      for (int64_t done = 0; done < share.count; done += kHeads)
        arrange_queries(state, head + done, heads_of_block(share, done),
                        share.launch.plan.problem.head_dim);
  }

  // Of a block's heads, as score reads them.
  static void arrange_queries(S& state, int64_t head, int64_t count, int64_t dim) {
    using P = Products<V, E>;
    const int64_t length = round_up(dim, P::Key::kLength);
    if (count >= Turned<V, E>::kFewestHeads) {
      into_columns<kHeads>(state.q_row(head), count, length, state.q_length);
    } else if constexpr (P::kSideBySide != 0) {
      static_assert(P::kSideBySide == kScoreHeads && kHeads % kScoreHeads == 0, "see score");
      for (; count >= kScoreHeads; count -= kScoreHeads, head += kScoreHeads)
        into_pieces<kScoreHeads, P::SideBySide::kPiece, P::kCopies>(state.q_row(head), kScoreHeads,
                                                                    length, state.q_length);
    }
  }

  static void attend_kv_head(S& state, const Share& share, int64_t index, const Tile& tile,
                             const Tile* next, const KeyRows& upcoming) {
    for (int64_t done = 0; done < share.count; done += kHeads, next = nullptr) {
      const Block block = {index * share.count + done, heads_of_block(share, done)};
      const bool last = done + kHeads >= share.count;
      attend_block(state, block, tile, next, last ? upcoming : KeyRows{},
                   share.launch.plan.problem);
    }
  }

  // `next` is null at the end; `following` are its keys, if it is of the same item.
  static void attend_tile(S& state, const Share& share, const Tile& first, const Tile* next,
                          const KeyRows& following) {
    if (share.item.kv_heads == 1) return attend_kv_head(state, share, 0, first, next, following);
    if (is_streamed(share, first))
      return Streaming<V, E>::attend(state, share.heads(), first, share.launch.plan.problem);
    if (share.count <= kReadBound) return attend_head_by_head(state, share, first, next);
    Tile tile = first, part;
    part.k_at = part.v_at = 0;
    for (int64_t index = 0; index < share.item.kv_heads; ++index) {
      if (next != nullptr) share_tile(share.item, *next, index, &part);
      attend_kv_head(state, share, index, tile, next != nullptr ? &part : nullptr,
                     index + 1 < share.item.kv_heads
                         ? keys_to_turn(share, first, tile.k_at + tile.k_head)
                         : following);
      tile.k_at += tile.k_head;
      tile.v_at += tile.v_head;
    }
  }

  // What is prefetched is the next head's rows, not the next tile's: with heads this few the tile
  // is done sooner than the second cache could hold two of them, of rows that are far apart.
  static void attend_head_by_head(S& state, const Share& share, const Tile& first,
                                  const Tile* next) {
    Tile tile = first, beyond = first;
    for (int64_t index = 0; index < share.item.kv_heads; ++index) {
      beyond.k_at += beyond.k_head;
      beyond.v_at += beyond.v_head;
      attend_kv_head(state, share, index, tile, index + 1 < share.item.kv_heads ? &beyond : next,
                     {});
      tile.k_at = beyond.k_at;
      tile.v_at = beyond.v_at;
    }
  }

  static bool is_streamed(const Share& share, const Tile& tile) {
    return share.count == 1 && tile.heads_stream;
  }

  // None where the share has few heads.
  static KeyRows keys_to_turn(const Share& share, const Tile& tile, int64_t at) {
    return {share.count >= Turned<V, E>::kFewestHeads ? &tile : nullptr, at};
  }

  static void begin_split(S& state, const Share& share) {
    state.folds = 0;
    for (int64_t i = 0; i < share.heads(); ++i) {
      state.m[i] = -INFINITY;
      state.l[i] = {};
    }
  }

  static void end_split(S& state, const Share& share, const Tile& tile, int64_t split) {
    fold_weights(state, share, tile);
    for (int64_t i = 0; i < share.heads(); ++i)
      Results<V, E>::store_split(state, share, i, split);
  }

  static void fold(S& state, const Share& share, const Tile& tile) {
    fold_weights(state, share, tile);
    Weighing<V, E>::fold(state, share.heads());
  }

  static void fold_weights(S& state, const Share& share, const Tile& tile) {
    if (is_streamed(share, tile)) return Streaming<V, E>::fold(state, share.heads());
    Softening<V, E>::fold(state, share.heads());
  }

  // All of it at once, where nobody has: the core waits, but not for one miss after the other.
  static void prefetch_tile(const Share& share, const Tile& tile) {
    const Problem& problem = share.launch.plan.problem;
    constexpr int64_t kSize = sizeof(E);
    for (int t = 0; t < tile.count; ++t)
      for (int64_t i = 0; i < share.item.kv_heads; ++i)
        prefetch(tile.k[t] + i * tile.k_head, 0, problem.head_dim * kSize);
    for (int t = 0; t < tile.count; ++t)
      for (int64_t i = 0; i < share.item.kv_heads; ++i)
        prefetch(tile.v[t] + i * tile.v_head, 0, problem.head_dim_v * kSize);
  }

  // The walk's next tile, after `tile`; by vectors of this instruction set, where rows just go on.
  static bool find_next(TileWalk& walk, const Tile& tile, Tile* next) {
    if (!walk.pass_follower()) return walk.next(next);
    const int64_t k_bytes = kTile * (tile.k[1] - tile.k[0]);
    const int64_t v_bytes = kTile * (tile.v[1] - tile.v[0]);
    *static_cast<TileShape*>(next) = tile;
    next->count = tile.count;
    next->k_at = next->v_at = 0;
    next->order = tile.order;
    for (int t = 0; t < kTile; ++t)
      next->k[t] = tile.k[t] + k_bytes;
    for (int t = 0; t < kTile; ++t)
      next->v[t] = tile.v[t] + v_bytes;
    return true;
  }

  // Keys come near while the next tile is found, where that shows: a tile of short rows is done
  // soon (docs/kernels.md has longer ones).  Turned keys are there.
  static void fetch_first_keys(const Share& share, const Tile& tile) {
    const int64_t bytes = share.launch.plan.problem.head_dim * static_cast<int64_t>(sizeof(E));
    if (bytes > 2 * kCacheLine || share.count >= Turned<V, E>::kFewestHeads) return;
    for (int t = 0; t < 4; ++t)
      prefetch_near(tile.k[t], bytes);
  }

  // False if a page is outside the cache.  The first tile of what comes after is prefetched too.
  static bool attend_splits(S& state, const Share& share, const WorkItem* after) {
    const Launch& launch = share.launch;
    const WorkItem& item = share.item;
    TileWalk walk(launch, item);
    Tile tiles[2];
    if (!walk.next(&tiles[0])) return false;
    const bool followed = tiles[0].streams && share.count <= kReadBound;
    if (item.cold && !followed && !is_streamed(share, tiles[0])) prefetch_tile(share, tiles[0]);
    Turning(keys_to_turn(share, tiles[0], 0), launch.plan.problem.head_dim, state.keys).finish();
    int64_t split = item.split, begin = item.begin;
    begin_split(state, share);
    int current = 0;
    for (int64_t next = item.begin + kTile; next < item.end; next += kTile, current ^= 1) {
      fetch_first_keys(share, tiles[current]);
      if (!find_next(walk, tiles[current], &tiles[current ^ 1])) return false;
      const Tile& beyond = tiles[current ^ 1];
      attend_tile(state, share, tiles[current], &beyond, keys_to_turn(share, beyond, 0));
      if (next - begin == item.split_length) {
        end_split(state, share, tiles[current], split++);
        begin_split(state, share);
        begin = next;
      } else if ((next - begin) % (kFoldTiles * kTile) == 0) {
        fold(state, share, tiles[current]);
      }
    }
    Tile* const beyond = &tiles[current ^ 1];
    const bool more = after != nullptr && TileWalk(launch, *after).next(beyond);
    attend_tile(state, share, tiles[current], more ? beyond : nullptr, {});
    end_split(state, share, tiles[current], split);
    return true;
  }

  template <int64_t kMost, int64_t kElements>
  static bool attend_share(const Share& share, const WorkItem* after) {
    const Problem& problem = share.launch.plan.problem;
    Storage<V, E, kMost, kElements> storage;  // on a stack that may be small: no more than is used
    S state;
    state.q = storage.q;
    state.o = storage.o;
    state.total = storage.total;
    state.error = storage.error;
    state.m = storage.m;
    state.rows = storage.rows;
    state.l = storage.l;
    state.lanes = storage.lanes;
    state.tile = storage.tile;
    state.p = storage.p;
    state.keys = &storage.keys;
    std::memset(storage.lanes, 0, sizeof(storage.lanes));
    using P = Products<V, E>;
    const int copies = share.count >= kScoreHeads ? P::kCopies : 1;
    state.q_length = copies * round_up(problem.head_dim, P::Key::kLength);
    state.o_length = round_up(problem.head_dim_v, Columns::kLength);
    load_queries(state, share);
    if (!attend_splits(state, share, after)) return false;
    Results<V, E>::finish(state, share);
    return true;
  }

  static void attend(const Launch& launch, const WorkItem& item, const WorkItem* after) {
    const int64_t group = launch.plan.problem.group, most = most_heads(launch.plan.problem);
    for (int64_t first = 0; first < group; first += most) {
      const Share share = {launch, item, first, group - first < most ? group - first : most};
      const WorkItem* const ahead = first + share.count < group ? &item : after;
      const bool done = share.heads() <= kHeads
                            ? attend_share<kHeads, kHeads * kMaxRow>(share, ahead)
                            : attend_share<kMostHeads, kMostElements>(share, ahead);
      if (!done) return poison(launch, item);
    }
  }
};

// What an instruction set's file gives to run().
template <class V, class E>
Steps steps() {
  return {Body<V, E>::attend, Combining<V, E>::combine};
}

}  // namespace
}  // namespace flashdec::cpu
