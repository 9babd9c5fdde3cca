// Where the k and v rows of a tile of tokens are.  Not inline: see core/inline.h.
#pragma once

#include "cpu/backend.h"

namespace flashdec::cpu {

// Tokens of one sequence and the rows of one of its key/value heads.  Past the end: the last
// token's rows again.
struct Tile {
  int count;               // tokens
  bool k_is_dense;         // the rows of k follow each other, in a page at least
  bool streams;            // the rows of k, and those of v, do so from tile to tile
  bool heads_stream;       // the rows of all the item's heads do so, in a page at least
  int64_t k_head, v_head;  // bytes from one of them to the next; 0 where there is one
  int64_t k_at, v_at;      // bytes from the rows below to those of the head at work
  const unsigned char* k[kTile];
  const unsigned char* v[kTile];
};

// The tile that begins at token `begin`, of the item's first key/value head; false if a page id is
// outside the cache.
bool find_tile(const Launch& launch, const WorkItem& item, int64_t begin, Tile* tile);

// The order in which a tile's tokens are prefetched: those of both halves in turn.  Where the
// halves are in different pages, the processor's walks of the page tables overlap.
struct TokenOrder {
  uint8_t of[kTile];
};

constexpr TokenOrder halves_in_turn() {
  TokenOrder order = {};
  for (int t = 0; t < kTile; ++t)
    order.of[t] = static_cast<uint8_t>(t / 2 + t % 2 * (kTile / 2));
  return order;
}

constexpr TokenOrder kInTurn = halves_in_turn();

// What to prefetch while key/value head `index` of the item is at work: its share of the next
// tile's rows, which are then prefetched in the order in which they lie in memory, token by token
// and all heads of a token.
void share_tile(const WorkItem& item, const Tile& next, int64_t index, Tile* share);

}  // namespace flashdec::cpu
