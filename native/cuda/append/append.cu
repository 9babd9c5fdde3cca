// Writes new tokens into the cache, and turns queries and keys by their positions.
//
// It waits three times for memory, one after another: for the length, for the page id and the
// angles, for the rows; so each thread has one piece of a row, and asks for it before it knows
// where the piece goes.

#include <algorithm>
#include <cmath>
#include <initializer_list>

#include "core/append.h"
#include "cuda/append/pieces.cuh"
#include "cuda/backend.h"
#include "cuda/contents.h"
#include "cuda/device/dependency.cuh"
#include "cuda/enqueue.h"
#include "cuda/launch.h"

namespace flashdec::cuda {
namespace {

constexpr int kLeastThreads = 64;
constexpr int kMostThreads = 512;
constexpr int kAdvanceThreads = 128;
constexpr int64_t kManyBlocks = 1024;  // several for each multiprocessor
constexpr int64_t kRounds = 4;
constexpr int64_t kBytesOfOneBlock = 64 * 1024;  // the header says so

// A piece that has been loaded, to where it belongs.
template <class E, int kVector>
__device__ inline void finish(const AppendParams& p, const Piece& piece, const Growth& g,
                              int64_t sequence, Loaded<E, kVector>& loaded) {
  if (g.fault != 0) {  // of its queries NaN, of the rest nothing
    if (piece.kind != Kind::kQuery) return;
#pragma unroll
    for (int i = 0; i < kVector; ++i) {
      store(loaded.first.of + i, NAN);
      store(loaded.second.of + i, NAN);
    }
  } else if (piece.token >= g.count) {
    return;
  } else if (piece.turns) {
    turn<E, kVector>(p.a, piece, g.position + piece.token, loaded);
  }
  put<E, kVector>(piece, loaded, target_of<E>(p, piece, g, sequence));
}

// kMany: threads may have more than one piece.
template <class E, int kVector, bool kMany>
__global__ void __launch_bounds__(kMostThreads)
    append_tokens(const __grid_constant__ AppendParams p) {
  const Append& a = p.a;
  const int thread = static_cast<int>(threadIdx.x), threads = static_cast<int>(blockDim.x);
  const int sequence = p.chunks.divide(static_cast<int>(blockIdx.x));
  const int chunk = static_cast<int>(blockIdx.x) - sequence * static_cast<int>(p.chunks.value);
  const int first_token = chunk * p.tokens;
  const int tokens = min(p.tokens, static_cast<int>(a.tokens) - first_token);
  const int pieces = tokens * static_cast<int>(p.pieces.value);
  Piece piece = locate<kVector>(p, min(thread, pieces - 1), first_token);
  wait_for_previous();
  let_next_start();
  Loaded<E, kVector> loaded = load<E, kVector>(a, piece, sequence);
  Growth g = growth_of(a, sequence);
  if (a.page_size != 0 && g.fault == 0 && g.count > 0 && !pages_are_good(p, g, sequence))
    g.fault = FLASHDEC_FAULT_PAGE;
  if (p.advance) {
    __syncthreads();  // everyone has read the length
    if (thread == 0 && g.fault == 0) a.kv_len[sequence] = static_cast<int32_t>(g.len + g.count);
  }
  if (thread == 0 && g.fault != 0 && a.status != nullptr) atomicOr(a.status, g.fault);
  if constexpr (kMany) {
#pragma unroll 1
    for (int index = thread; index < pieces; index += threads) {
      const Piece here = piece;
      Loaded<E, kVector> current = loaded;
      if (index + threads < pieces) {  // asked for before the one at hand is put in its place
        piece = locate<kVector>(p, index + threads, first_token);
        loaded = load<E, kVector>(a, piece, sequence);
      }
      finish<E, kVector>(p, here, g, sequence, current);
    }
  } else {
    // Ends after one round.  Without the loop the compiler puts off what it can compute while the
    // length is on its way: 0.3 us more.
#pragma unroll 1
    for (int index = thread; index < pieces;) {
      finish<E, kVector>(p, piece, g, sequence, loaded);
      index += threads;
      if (index >= pieces) break;
      piece = locate<kVector>(p, index, first_token);
      loaded = load<E, kVector>(a, piece, sequence);
    }
  }
}

// Where several blocks have had a sequence: lengths grow when all of them have ended.
__global__ void __launch_bounds__(kAdvanceThreads)
    advance_lengths(const __grid_constant__ AppendParams p) {
  const int sequence = static_cast<int>(blockIdx.x);
  wait_for_previous();
  let_next_start();
  const Growth g = growth_of(p.a, sequence);
  const bool good =
      g.fault == 0 && (p.a.page_size == 0 || g.count == 0 || pages_are_good(p, g, sequence));
  __syncthreads();
  if (threadIdx.x == 0 && good) p.a.kv_len[sequence] = static_cast<int32_t>(g.len + g.count);
}

bool are_aligned(const void* base, int64_t size, std::initializer_list<int64_t> strides) {
  uintptr_t bits = reinterpret_cast<uintptr_t>(base);
  for (const int64_t stride : strides)
    bits |= static_cast<uintptr_t>(stride * size);
  return bits % 16 == 0;
}

// A stride along an axis of one element is never used.
Strides used(Strides strides, int64_t blocks, int64_t tokens, int64_t heads) {
  if (blocks == 1) strides.batch = 0;
  if (tokens == 1) strides.token = 0;
  if (heads == 1) strides.head = 0;
  return strides;
}

Append used(const Append& args) {
  Append a = args;
  const int64_t blocks = a.page_size != 0 ? a.num_pages : a.batch;
  const int64_t slots = a.page_size != 0 ? a.page_size : a.max_kv_len;
  a.q_strides = used(a.q_strides, a.batch, a.tokens, a.q_heads);
  a.q_out_strides = used(a.q_out_strides, a.batch, a.tokens, a.q_heads);
  a.k_strides = used(a.k_strides, a.batch, a.tokens, a.kv_heads);
  a.v_strides = used(a.v_strides, a.batch, a.tokens, a.kv_heads);
  a.k_cache_strides = used(a.k_cache_strides, blocks, slots, a.kv_heads);
  a.v_cache_strides = used(a.v_cache_strides, blocks, slots, a.kv_heads);
  if (a.q == nullptr) a.q_strides = a.q_out_strides = {};
  if (a.max_position <= 1) a.cos_stride = a.sin_stride = 0;
  return a;
}

// Whether every row can be moved 16 bytes at a time.
bool takes_vectors(const Append& a) {
  const int64_t size = element_size(a.element), angle = element_size(a.rotary_element);
  const struct {
    const void* base;
    const Strides& strides;
  } arrays[] = {{a.q, a.q_strides}, {a.q_out, a.q_out_strides},     {a.k, a.k_strides},
                {a.v, a.v_strides}, {a.k_cache, a.k_cache_strides}, {a.v_cache, a.v_cache_strides}};
  for (const auto& each : arrays)
    if (!are_aligned(each.base, size, {each.strides.batch, each.strides.token, each.strides.head}))
      return false;
  return are_aligned(nullptr, size, {a.head_dim, a.head_dim_v, a.rotary_dim / 2}) &&
         are_aligned(a.cos, angle, {a.cos_stride}) && are_aligned(a.sin, angle, {a.sin_stride});
}

// As many as give each thread a piece, and more where there are blocks enough for every
// multiprocessor all the same: a block looks at all page ids of its sequence.
int64_t tokens_of_block(const Append& a, int64_t pieces) {
  const int64_t tokens = std::clamp<int64_t>(kMostThreads / pieces, 1, a.tokens);
  const bool many = a.batch * ceil_div(a.tokens, tokens) >= kManyBlocks;
  return std::min(many ? kRounds * tokens : tokens, a.tokens);
}

template <class E, int kVector>
void enqueue_tokens(const Append& a, CUstream_st* stream) {
  AppendParams params = {};
  params.a = a;
  params.rotary_pieces = static_cast<int>(a.rotary_dim / 2 / kVector);
  const int64_t row_pieces =
      params.rotary_pieces + ceil_div(a.head_dim - a.rotary_dim, 2 * kVector);
  const int64_t value_pieces = ceil_div(a.head_dim_v, 2 * kVector);
  const int64_t turned = (a.q_heads + a.kv_heads) * row_pieces;
  const int64_t pieces = turned + a.kv_heads * value_pieces;
  params.turned_pieces = static_cast<int>(turned);
  params.row_pieces = make_divisor(row_pieces);
  params.value_pieces = make_divisor(value_pieces);
  params.pieces = make_divisor(pieces);
  params.page_size = make_divisor(std::max<int64_t>(1, a.page_size));
  const int64_t bytes = pieces * 2 * kVector * static_cast<int64_t>(sizeof(E));
  params.advance = a.advance && (a.tokens == 1 || a.tokens * bytes <= kBytesOfOneBlock);
  const int64_t tokens = params.advance ? a.tokens : tokens_of_block(a, pieces);
  params.tokens = static_cast<int>(tokens);
  const int64_t chunks = ceil_div(a.tokens, tokens);
  params.chunks = make_divisor(chunks);
  const auto threads = static_cast<int>(
      std::clamp<int64_t>(round_up(tokens * pieces, 32), kLeastThreads, kMostThreads));
  void* arguments[] = {&params};
  static KernelSetup setups[2], advance;
  const uint64_t context = current_context_id();
  const bool many = tokens * pieces > threads;
  const void* kernel = many ? reinterpret_cast<const void*>(append_tokens<E, kVector, true>)
                            : reinterpret_cast<const void*>(append_tokens<E, kVector, false>);
  enqueue(setups[many].start(kernel, {a.batch * chunks, threads, 0, arguments}, context), stream);
  if (!a.advance || params.advance) return;
  enqueue(advance.start(reinterpret_cast<const void*>(advance_lengths),
                        {a.batch, kAdvanceThreads, 0, arguments}, context),
          stream);
}

template <class E>
void enqueue_append(const Append& a, CUstream_st* stream) {
  constexpr int kVector = 16 / sizeof(E);
  if (takes_vectors(a)) return enqueue_tokens<E, kVector>(a, stream);
  enqueue_tokens<E, 1>(a, stream);
}

}  // namespace

void append(const Append& args, CUstream_st* stream) {
  require_device(args.device);
  const ContextGuard context(stream, args.device);
  const Append a = used(args);
  if (a.check_contents) check_contents(a, stream);
  switch (a.element) {
    case FLASHDEC_FLOAT16:
      return enqueue_append<__half>(a, stream);
    case FLASHDEC_BFLOAT16:
      return enqueue_append<__nv_bfloat16>(a, stream);
    default:
      return enqueue_append<float>(a, stream);
  }
}

}  // namespace flashdec::cuda
