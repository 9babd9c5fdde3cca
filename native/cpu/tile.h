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
  const unsigned char* k[kTile];
  const unsigned char* v[kTile];
};

// The tile that begins at token `begin`, of the item's first key/value head; false if a page id is
// outside the cache.
bool find_tile(const Launch& launch, const WorkItem& item, int64_t begin, Tile* tile);

// The same tokens, `index` key/value heads further on.
void shift_tile(const Tile& first, int64_t index, Tile* tile);

// What to prefetch while key/value head `index` of the item is at work: its share of the next
// tile's rows, in the order in which they lie in memory, token by token and all heads of a token.
void share_tile(const WorkItem& item, const Tile& next, int64_t index, Tile* share);

}  // namespace flashdec::cpu
