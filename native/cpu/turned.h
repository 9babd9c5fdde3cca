// Keys turned around: a row of tokens for each column, so that a vector has a token in each lane,
// no sum is added up across lanes, and a key is widened once for all query heads.  They are turned
// while what comes before them is weighed, another head of the tile or the tile before: its
// multiplications leave the shuffles idle.
//
// By default nobody does so; an instruction set specializes it that gains by it.
#pragma once

#include "cpu/backend.h"
#include "cpu/tile.h"

namespace flashdec::cpu {
namespace {

// The rows of keys of one key/value head in a tile; none where there is no tile.
struct KeyRows {
  const Tile* tile;
  int64_t at;  // bytes, as Tile::k_at
};

template <class V, class E>
struct Turned {
  static constexpr int kFewestHeads = kHeads + 1;  // query heads in a block that it is worth it for

  struct Keys {};

  class Turning {
   public:
    Turning(const KeyRows&, int64_t, Keys*) {}

    void finish() {}
  };
};

}  // namespace
}  // namespace flashdec::cpu
