// What a thread has of the new tokens: a piece of a row, loaded, turned and put in its place.
#pragma once

#include "core/append.h"
#include "cuda/device/divisor.h"
#include "cuda/device/element.cuh"

namespace flashdec::cuda {

// A row is cut into pieces of two vectors: of a rotated part, kVector pairs.
struct AppendParams {
  Append a;
  Divisor chunks;        // blocks of a sequence
  Divisor pieces;        // of a token
  Divisor row_pieces;    // of a row of q or k
  Divisor value_pieces;  // of a row of v
  Divisor page_size;
  int rotary_pieces;  // of row_pieces, the first
  int turned_pieces;  // of a token: those of q and k, which come before those of v
  int tokens;         // of a block
  bool advance;       // a block has a whole sequence, and its length grows
};

template <class E, int kVector>
struct alignas(kVector * sizeof(E)) Vector {
  E of[kVector];
};

// Of cos or sin: up to 32 bytes, in accesses of 16.
template <class L, int kVector>
struct alignas(kVector * sizeof(L) < 16 ? kVector * sizeof(L) : 16) Angles {
  L of[kVector];
};

enum class Kind { kQuery, kKey, kValue };

// A piece: where it is in its row, and whose row it is.
struct Piece {
  Kind kind;
  int token;
  int head;
  int index;  // in the row
  bool turns;
  int first;   // column of its first vector
  int second;  // and of its second, beyond the end of the row if there is none
  int row;     // columns
};

template <int kVector>
__device__ inline Piece locate(const AppendParams& p, int index, int first_token) {
  const Append& a = p.a;
  Piece piece;
  const int token = p.pieces.divide(index);
  int rest = index - token * static_cast<int>(p.pieces.value);
  piece.token = first_token + token;
  if (rest < p.turned_pieces) {
    const int row = p.row_pieces.divide(rest);
    const int q_heads = static_cast<int>(a.q_heads);
    piece.kind = row < q_heads ? Kind::kQuery : Kind::kKey;
    piece.head = row < q_heads ? row : row - q_heads;
    piece.index = rest - row * static_cast<int>(p.row_pieces.value);
    piece.turns = piece.index < p.rotary_pieces;
    piece.row = static_cast<int>(a.head_dim);
  } else {
    rest -= p.turned_pieces;
    const int row = p.value_pieces.divide(rest);
    piece.kind = Kind::kValue;
    piece.head = row;
    piece.index = rest - row * static_cast<int>(p.value_pieces.value);
    piece.turns = false;
    piece.row = static_cast<int>(a.head_dim_v);
  }
  if (piece.turns && !a.interleaved) {
    piece.first = piece.index * kVector;
    piece.second = piece.first + static_cast<int>(a.rotary_dim >> 1);
  } else {
    const int copied = piece.index - (piece.kind == Kind::kValue ? 0 : p.rotary_pieces);
    const int start = piece.kind == Kind::kValue ? 0 : static_cast<int>(a.rotary_dim);
    piece.first = piece.turns ? piece.index * 2 * kVector : start + copied * 2 * kVector;
    piece.second = piece.first + kVector;
  }
  return piece;
}

__device__ inline int64_t offset_of(const Strides& strides, int64_t batch, int64_t token,
                                    int64_t head) {
  return batch * strides.batch + token * strides.token + head * strides.head;
}

template <class E>
__device__ inline const E* source_of(const Append& a, const Piece& piece, int64_t sequence) {
  const void* base = piece.kind == Kind::kQuery ? a.q : piece.kind == Kind::kKey ? a.k : a.v;
  const Strides& strides = piece.kind == Kind::kQuery ? a.q_strides
                           : piece.kind == Kind::kKey ? a.k_strides
                                                      : a.v_strides;
  return static_cast<const E*>(base) + offset_of(strides, sequence, piece.token, piece.head);
}

template <class E, int kVector>
struct Loaded {
  Vector<E, kVector> first;
  Vector<E, kVector> second;
};

template <class E, int kVector>
__device__ inline Loaded<E, kVector> load(const Append& a, const Piece& piece, int64_t sequence) {
  using V = Vector<E, kVector>;
  const E* row = source_of<E>(a, piece, sequence);
  Loaded<E, kVector> loaded;
  loaded.first = *reinterpret_cast<const V*>(row + piece.first);
  loaded.second = loaded.first;
  if (piece.second < piece.row) loaded.second = *reinterpret_cast<const V*>(row + piece.second);
  return loaded;
}

template <class L, int kVector>
__device__ inline void load_angles(const void* table, int64_t element, float (&angles)[kVector]) {
  const L* row = static_cast<const L*>(table) + element;
  const auto loaded = *reinterpret_cast<const Angles<L, kVector>*>(row);
#pragma unroll
  for (int i = 0; i < kVector; ++i)
    angles[i] = to_float(loaded.of[i]);
}

// Columns of pair i within the two vectors of a piece, one behind the other.
template <int kVector>
struct Pair {
  int x;
  int y;
  __device__ Pair(bool interleaved, int i)
      : x(interleaved ? 2 * i : i), y(interleaved ? 2 * i + 1 : i + kVector) {}
};

template <class E, int kVector, bool kInterleaved>
__device__ inline void turn(Loaded<E, kVector>& loaded, const float (&cos)[kVector],
                            const float (&sin)[kVector]) {
  E values[2 * kVector];
#pragma unroll
  for (int i = 0; i < kVector; ++i) {
    values[i] = loaded.first.of[i];
    values[kVector + i] = loaded.second.of[i];
  }
#pragma unroll
  for (int i = 0; i < kVector; ++i) {
    const Pair<kVector> at(kInterleaved, i);
    const float x = to_float(values[at.x]), y = to_float(values[at.y]);
    store(values + at.x, x * cos[i] - y * sin[i]);  // nothing is fused: no bit may differ
    store(values + at.y, y * cos[i] + x * sin[i]);
  }
#pragma unroll
  for (int i = 0; i < kVector; ++i) {
    loaded.first.of[i] = values[i];
    loaded.second.of[i] = values[kVector + i];
  }
}

template <class E, int kVector>
__device__ inline void turn(const Append& a, const Piece& piece, int64_t position,
                            Loaded<E, kVector>& loaded) {
  float cos[kVector], sin[kVector];
  const int64_t at = int64_t{piece.index} * kVector;
  if (a.rotary_element == FLASHDEC_FLOAT32) {
    load_angles<float, kVector>(a.cos, position * a.cos_stride + at, cos);
    load_angles<float, kVector>(a.sin, position * a.sin_stride + at, sin);
  } else {
    load_angles<E, kVector>(a.cos, position * a.cos_stride + at, cos);
    load_angles<E, kVector>(a.sin, position * a.sin_stride + at, sin);
  }
  if (a.interleaved) {
    turn<E, kVector, true>(loaded, cos, sin);
  } else {
    turn<E, kVector, false>(loaded, cos, sin);
  }
}

// A sequence's page ids where it grows, one or all of them good.
__device__ inline bool pages_are_good(const AppendParams& p, const Growth& g, int64_t sequence) {
  const Append& a = p.a;
  const int32_t* table = a.page_table + sequence * a.page_table_stride;
  const int first = p.page_size.divide(static_cast<int>(g.len));
  const int last = p.page_size.divide(static_cast<int>(g.len + g.count) - 1);
  if (first == last) return is_page(a, table[first]);  // every thread looks for itself
  bool good = true;
  for (int i = first + static_cast<int>(threadIdx.x); i <= last; i += static_cast<int>(blockDim.x))
    good = good && is_page(a, table[i]);
  return __syncthreads_and(good) != 0;
}

template <class E>
__device__ inline E* target_of(const AppendParams& p, const Piece& piece, const Growth& g,
                               int64_t sequence) {
  const Append& a = p.a;
  if (piece.kind == Kind::kQuery)
    return static_cast<E*>(a.q_out) + offset_of(a.q_out_strides, sequence, piece.token, piece.head);
  int64_t block = sequence;
  int slot = static_cast<int>(g.len) + piece.token;
  if (a.page_size != 0) {
    const int page = p.page_size.divide(slot);
    block = a.page_table[sequence * a.page_table_stride + page];
    slot -= page * static_cast<int>(a.page_size);
  }
  return piece.kind == Kind::kKey
             ? static_cast<E*>(a.k_cache) + offset_of(a.k_cache_strides, block, slot, piece.head)
             : static_cast<E*>(a.v_cache) + offset_of(a.v_cache_strides, block, slot, piece.head);
}

template <class E, int kVector>
__device__ inline void put(const Piece& piece, const Loaded<E, kVector>& loaded, E* row) {
  using V = Vector<E, kVector>;
  *reinterpret_cast<V*>(row + piece.first) = loaded.first;
  if (piece.second < piece.row) *reinterpret_cast<V*>(row + piece.second) = loaded.second;
}

}  // namespace flashdec::cuda
