// Where the k and v rows of a tile of tokens are.  What instruction sets call is not inline: see
// core/inline.h.
#pragma once

#include "cpu/backend.h"

namespace flashdec::cpu {

// An order in which a tile's rows are prefetched.
struct RowOrder {
  uint8_t of[kTile];
};

constexpr RowOrder as_they_are() {
  RowOrder order = {};
  for (int t = 0; t < kTile; ++t)
    order.of[t] = static_cast<uint8_t>(t);
  return order;
}

// Those of both halves in turn.  Where the halves are in different pages, the processor's walks of
// the page tables overlap.
constexpr RowOrder halves_in_turn() {
  RowOrder order = {};
  for (int t = 0; t < kTile; ++t)
    order.of[t] = static_cast<uint8_t>(t / 2 + t % 2 * (kTile / 2));
  return order;
}

constexpr RowOrder kInOrder = as_they_are();
constexpr RowOrder kInTurn = halves_in_turn();

// What the tiles of an item have in common.
struct TileShape {
  bool k_is_dense;         // the rows of k follow each other, in a page at least
  bool streams;            // the rows of k, and those of v, do so from tile to tile
  bool heads_stream;       // the rows of all the item's heads do so, in a page at least
  int64_t k_head, v_head;  // bytes from one of them to the next; 0 where there is one
};

// Rows as many bytes apart each, found kRun at a time, which makes vector instructions of it.
class EvenRows {
 public:
  static constexpr int kRun = 8;

  explicit EvenRows(int64_t step);

  // n rows from `first` on, and then what is no row, up to the end of a run.
  void find(const unsigned char* first, int64_t n, const unsigned char** rows) const;

  int64_t step() const { return static_cast<int64_t>(from_first_[1]); }

 private:
  uint64_t from_first_[kRun];  // of a run
};

// Tokens of one sequence and the rows of one of its key/value heads.  Past the end, up to kTile:
// the last token's rows again.
struct Tile : TileShape {
  int count;              // tokens
  int64_t k_at, v_at;     // bytes from the rows below to those of the head at work
  const RowOrder* order;  // in which they are prefetched
  const unsigned char* k[kTile + EvenRows::kRun];  // whose last run may pass the end
  const unsigned char* v[kTile + EvenRows::kRun];
};

// The tiles of an item, one after the other, of its first key/value head.
class TileWalk {
 public:
  TileWalk(const Launch& launch, const WorkItem& item);

  bool at_end() const { return left_ <= 0; }

  // The next one; false if a page id is outside the cache.
  bool next(Tile* tile);

  // Passes the next one by and returns true, if it is whole and its rows follow those of the one
  // before as these follow each other: without pages.
  bool pass_follower();

 private:
  // The rows of k, or those of v.
  struct Side {
    const unsigned char* cache;  // from the item's first head on
    int64_t page_step;           // bytes from one page to the next; without pages, of sequences
    EvenRows tokens;

    Side(const Launch& launch, const WorkItem& item, const void* base, const Strides& strides);
    // Of n tokens from `slot` of a page on.
    void find(int64_t page, int64_t slot, int64_t n, const unsigned char** rows) const {
      tokens.find(cache + page * page_step + slot * tokens.step(), n, rows);
    }
  };

  bool find_page();

  TileShape shape_;
  Side k_, v_;
  const int32_t* page_ids_;  // from the page on that the next token is in; null: not paged
  int64_t num_pages_;
  int64_t page_;       // the latest; without pages, the sequence
  int64_t page_size_;  // tokens
  int64_t slot_;       // the next token's, in its page
  int64_t left_;       // tokens
};

// What to prefetch while key/value head `index` of the item is at work: its share of the next
// tile's rows, which are then prefetched in the order in which they lie in memory, token by token
// and all heads of a token.
void share_tile(const WorkItem& item, const Tile& next, int64_t index, Tile* share);

}  // namespace flashdec::cpu
