// One warp finds out what its block has to do, and the others take it from a shelf in shared
// memory, a few pieces later.
//
// Where lengths differ, to find the next piece takes a warp longer than to read a tile: it is code
// that a launch runs a few times, and most of that time it waits for instructions.  The dealer is
// one of the warps that merge, which wait most of the time.
#pragma once

#include "cuda/device/barrier.cuh"
#include "cuda/device/memory.cuh"
#include "cuda/tensor/cut.cuh"
#include "cuda/tensor/shape.h"
#include "cuda/tensor/work.cuh"

namespace flashdec::cuda {

// Pieces, in turns; units that are shared, as many as there is room for; and barriers.
struct Shelf {
  static constexpr int kPieces = 4;
  static constexpr int kUnits = 4;
  static constexpr int kUnitsAt = kPieces * sizeof(Piece);
  static constexpr int kCountAt = kUnitsAt + kUnits * sizeof(SharedUnit);
  static constexpr int kBarriersAt = kCountAt + 8;
  static_assert(kBarriersAt + kPieces * 16 + 8 <= kShelfBytes);
  static_assert(kUnitsAt % 8 == 0 && kCountAt % 8 == 0);

  char* memory;

  __device__ Piece& piece(int number) const {
    return reinterpret_cast<Piece*>(memory)[number % kPieces];
  }
  __device__ SharedUnit& unit(int index) const {
    return reinterpret_cast<SharedUnit*>(memory + kUnitsAt)[index];
  }
  // Units that are shared, also those for which there is no room.
  __device__ int& count() const { return *reinterpret_cast<int*>(memory + kCountAt); }

  // Of the first piece.
  __device__ int& first_slot() const { return *(&count() + 1); }

  __device__ uint32_t dealt(int number) const {
    return shared_address(memory + kBarriersAt) + number % kPieces * 16;
  }
  __device__ uint32_t taken(int number) const { return dealt(number) + 8; }
  // When first_slot() is known.
  __device__ uint32_t begun() const { return dealt(0) + kPieces * 16; }
  __device__ static uint32_t parity(int number) { return number / kPieces % 2; }

  // By one thread, before the block meets.
  __device__ void open() const {
    init_barrier(begun(), 1);
    for (int number = 0; number < kPieces; ++number) {
      init_barrier(dealt(number), 1);
      init_barrier(taken(number), kThreads / 32 - 1);
    }
  }
};

__device__ inline bool is_dealer() {
  return static_cast<int>(threadIdx.x) / 32 == kWarps;
}

// Of a first piece that a warp found by itself.
constexpr int kUnknownSlot = -2;

// What the others know of a deal.
template <class Deal>
struct Dealt {
  const TensorParams& p;
  Shelf shelf;

  static constexpr bool kAnyLength = true;
  static constexpr bool kFolds = false;
  static constexpr bool kDealt = true;

  __device__ int slot(const Piece& piece) const {
    if (piece.row != kUnknownSlot) return piece.row;
    wait_barrier(shelf.begun(), 0);
    return shelf.first_slot();
  }

  __device__ int64_t packet(int slot, int quad) const { return packet_index(p, slot, quad); }

  // By every warp, when it begins a piece.
  __device__ void taken(int number) const {
    __syncwarp();  // every lane has read it
    if (threadIdx.x % 32 == 0 && !is_dealer()) arrive(shelf.taken(number));
  }

  struct Cursor {
    const Dealt& deal;
    int number = 0;

    __device__ explicit Cursor(const Dealt& all) : deal(all) {}

    // Where the first piece is known.
    __device__ void skip(Piece& piece) {
      piece.row = kUnknownSlot;
      ++number;
    }

    // Whether the next one has been dealt.
    __device__ bool is_ready() const {
      const bool ready = has_completed(deal.shelf.dealt(number), Shelf::parity(number));
      return !__any_sync(kAllLanes, !ready);
    }

    // Whether it is certain that the next piece will be dealt while this warp is at piece
    // `at_hand`.
    __device__ bool sees(int at_hand) const { return number < at_hand + Shelf::kPieces; }

    __device__ bool next(Piece& piece) {
      wait_barrier(deal.shelf.dealt(number), Shelf::parity(number));
      piece = deal.shelf.piece(number);
      if (piece.parts == 0) return false;  // there are no more
      ++number;
      return true;
    }
  };
};

// The dealer's side.
template <class Deal>
struct Dealer {
  const Deal& deal;
  Shelf shelf;
  typename Deal::Cursor cursor;
  int number = 0;  // of the piece to deal
  int units = 0;   // that are shared
  bool done = false;

  __device__ Dealer(const Deal& all, const Shelf& on) : deal(all), shelf(on), cursor(all) {}

  // Deals as many pieces as there is room for, when its own warp begins piece number `at`: others
  // have begun the one before, or will without it.
  __device__ void deal_from(int at) {
    if (!is_dealer()) return;
#pragma unroll 1
    for (; !done && number < at + Shelf::kPieces; ++number) {
      Piece piece;
      done = !cursor.next(piece);
      if (done) {
        piece.parts = 0;
      } else {
        find_slot(piece);
      }
      if (number >= Shelf::kPieces) wait_barrier(shelf.taken(number), Shelf::parity(number) ^ 1);
      if (threadIdx.x % 32 == 0) {
        shelf.piece(number) = piece;
        shelf.count() = units;
        arrive(shelf.dealt(number));
        if (number == 0) {
          shelf.first_slot() = piece.row;
          arrive(shelf.begun());
        }
      }
    }
  }

  // Into the field for it.
  __device__ void find_slot(Piece& piece) {
    const Cut cut = deal.cut(piece);
    piece.row = cut.own_slot();
    if (cut.parts == 1 || units++ >= Shelf::kUnits || threadIdx.x % 32 != 0) return;
    shelf.unit(units - 1) = shared_unit(deal.p, piece, cut);
  }
};

// Every warp finds its pieces by itself.
struct NoDealer {
  __device__ static void deal_from(int) {}
};

}  // namespace flashdec::cuda
