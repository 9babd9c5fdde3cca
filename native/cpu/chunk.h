// Rows in chunks of two vectors, and the products of a key's row with a query's.
//
// A chunk of float and of F16 is two vectors side by side.  One of Bf16 is the elements of even and
// of odd places, which a shift and a mask take apart without a shuffle; what is computed of them
// comes back into the order of the row when it is stored (V::interleave).
#pragma once

#include <cstring>
#include <type_traits>

#include "core/convert.h"

namespace flashdec::cpu {
namespace {

constexpr int64_t kMaxRow = 256;  // the largest head_dim

template <class V, class E>
struct Chunk {
  using F = typename V::F;
  static constexpr int64_t kLength = 2 * V::kWidth;  // elements

  F a, b;

  static Chunk load(const E* row) {
    Chunk chunk;
    V::load_pair(row, &chunk.a, &chunk.b);
    return chunk;
  }

  // The first n elements, zeros after them; reads nothing else.
  static Chunk load_first(const E* row, int64_t n) {
    E buffer[kLength] = {};
    std::memcpy(buffer, row, static_cast<size_t>(n) * sizeof(E));
    return load(buffer);
  }

  // The chunk at element d of a row of `length`.
  static Chunk load_at(const E* row, int64_t d, int64_t length) {
    return length - d >= kLength ? load(row + d) : load_first(row + d, length - d);
  }

  // In the order of the row.
  Chunk<V, float> in_order() const {
    Chunk<V, float> chunk = {a, b};
    if (std::is_same<E, Bf16>::value) V::interleave(&chunk.a, &chunk.b);
    return chunk;
  }

  // In the order of the row, as T, up to its end.
  template <class T>
  void store_at(T* row, int64_t d, int64_t length) const {
    const Chunk<V, float> chunk = in_order();
    if (length - d >= kLength) {
      V::store(row + d, chunk.a);
      V::store(row + d + V::kWidth, chunk.b);
      return;
    }
    T buffer[kLength];
    V::store(buffer, chunk.a);
    V::store(buffer + V::kWidth, chunk.b);
    std::memcpy(row + d, buffer, static_cast<size_t>(length - d) * sizeof(T));
  }
};

// Products of widened elements.
template <class V, class E>
struct Widened {
  using F = typename V::F;
  using Key = Chunk<V, E>;
  using Query = float;                   // kept so, in the order of chunks
  static constexpr int kSideBySide = 0;  // query heads that SideBySide, if any, takes at once
  static constexpr int kCopies = 1;      // of a query, that SideBySide reads

  static void keep_query(const E* row, int64_t d, int64_t length, Query* kept) {
    const Chunk<V, E> chunk = Chunk<V, E>::load_at(row, d, length);
    V::store(kept + d, chunk.a);
    V::store(kept + d + V::kWidth, chunk.b);
  }

  static F add(F sum, const Query* query, const Key& key) {
    return V::fma(V::load(query + V::kWidth), key.b, V::fma(V::load(query), key.a, sum));
  }
};

// What scores.h multiplies by.  An instruction set specializes it that multiplies narrow elements,
// or takes several query heads side by side.
template <class V, class E>
struct Products : Widened<V, E> {};

// Rows of queries, `pitch` apart, out of the way of what they become.
template <int kMost, class T>
struct RowsApart {
  T of[kMost][kMaxRow];

  RowsApart(const T* queries, int64_t rows, int64_t length, int64_t pitch) {
    for (int64_t row = 0; row < rows; ++row)
      std::memcpy(of[row], queries + row * pitch, sizeof(T) * static_cast<size_t>(length));
  }
};

// Into the first piece of each row, kCopies times, the second, ...
template <int kMost, int64_t kPiece, int kCopies, class T>
void into_pieces(T* queries, int64_t rows, int64_t length, int64_t pitch) {
  const RowsApart<kMost, T> apart(queries, rows, length, pitch);
  for (int64_t d = 0; d < length; d += kPiece)
    for (int64_t i = 0; i < rows * kCopies; ++i, queries += kPiece)
      std::memcpy(queries, apart.of[i / kCopies] + d, sizeof(T) * kPiece);
}

// Into the first element of each row, the second, ...
template <int kMost, class T>
void into_columns(T* queries, int64_t rows, int64_t length, int64_t pitch) {
  const RowsApart<kMost, T> apart(queries, rows, length, pitch);
  if (rows == kMost) {  // no loop within the loop
    for (int64_t d = 0; d < length; ++d)
#pragma GCC unroll 8
      for (int64_t row = 0; row < kMost; ++row)
        *queries++ = apart.of[row][d];
    return;
  }
  for (int64_t d = 0; d < length; ++d)
    for (int64_t row = 0; row < rows; ++row)
      *queries++ = apart.of[row][d];
}

}  // namespace
}  // namespace flashdec::cpu
