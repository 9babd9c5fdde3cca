/*
 * flashdec_append.h - the keys and values of new tokens into the cache.
 *
 * Copyright 2026 The flashdec authors.  SPDX-License-Identifier: Apache-2.0
 *
 * What a decode step does before attention, in one launch: rotate the queries
 * and keys of the new tokens by their positions, and write keys and values to
 * the end of each sequence.  For sequence b and its new token t, which is token
 * n = kv_len[b] + t of the sequence, at position p = positions[b] + t:
 *
 *     k_cache[b, n] = rotate(k[b, t], p)
 *     v_cache[b, n] = v[b, t]
 *     q_out[b, t]   = rotate(q[b, t], p)
 *
 * With pages token n is row n % page_size of page page_table[b, n / page_size].
 *
 * Rotary position embedding (Su et al., "RoFormer", 2021): the first rotary_dim
 * elements of a row are pairs (x, y), of which pair i becomes
 *
 *     x' = x * cos[p, i] - y * sin[p, i]
 *     y' = y * cos[p, i] + x * sin[p, i]
 *
 * in float32, each product and sum rounded, the result rounded to nearest even:
 * the same bits on every backend and device, NaNs apart.  Pairs are (i, i + rotary_dim / 2),
 * as in GPT-NeoX and Llama, or (2 i, 2 i + 1) with FLASHDEC_APPEND_INTERLEAVED,
 * as in GPT-J.  All other elements are copied.
 *
 * What lies in device memory cannot be refused without a synchronisation, so it
 * is made harmless and loud, as flashdec_run does.  Where a sequence has
 *   - a kv_len below 0, a new_len outside 0 .. tokens, or a sum of both above
 *     max_kv_len: the cache is full                      (FLASHDEC_FAULT_KV_LEN)
 *   - a page id outside [0, num_pages) where it would write (FLASHDEC_FAULT_PAGE)
 *   - a position outside [0, max_position)            (FLASHDEC_FAULT_POSITION)
 * nothing of it is written to the cache, its kv_len stays, its q_out becomes
 * NaN (all tokens), and a bit of *args.status is set; other sequences are as
 * ever.  With FLASHDEC_CHECK=1 in the environment flashdec_append looks first
 * (with a synchronisation), and refuses with a sentence that names the entry.
 *
 * Two sequences that write to one slot of the cache leave a mixture of their
 * rows there; that is not checked.  The rules of section 3 of flashdec.h hold here too.
 */
#ifndef FLASHDEC_APPEND_H
#define FLASHDEC_APPEND_H

#include "flashdec.h"

#ifdef __cplusplus
extern "C" {
#endif

/* flags: pairs are neighbours, (2 i, 2 i + 1) */
#define FLASHDEC_APPEND_INTERLEAVED 1u
/* flags: afterwards kv_len[b] grows by the new tokens of b */
#define FLASHDEC_APPEND_ADVANCE 2u

typedef struct flashdec_append_args {
  uint32_t struct_size;      /* sizeof(flashdec_append_args) */
  uint32_t flags;            /* FLASHDEC_APPEND_* bits */
  uint32_t backend;          /* FLASHDEC_BACKEND_CPU or FLASHDEC_BACKEND_CUDA */
  int32_t device;            /* CUDA: the ordinal of the device that the arrays are on; CPU: 0 */
  uint32_t dtype;            /* flashdec_dtype of q, k, v and the cache */
  uint32_t rotary_dtype;     /* flashdec_dtype of cos and sin, float32 or dtype; 0: float32 */
  uint32_t num_threads;      /* CPU: as in flashdec_preference; CUDA: ignored */
  uint32_t reserved;         /* 0 */
  int64_t batch;             /* sequences, 1 .. 2^31-1 */
  int64_t tokens;            /* new ones of a sequence, at most; batch * tokens <= 2^31-1 */
  int64_t q_heads;           /* 1 .. 65536; 0 where q is NULL */
  int64_t kv_heads;          /* 1 .. 65536; a token has at most 2^26 elements in all */
  int64_t head_dim;          /* elements in a row of q and k, 1 .. 65536 */
  int64_t head_dim_v;        /* elements in a row of v; 0: head_dim */
  int64_t max_kv_len;        /* tokens that a sequence has room for, 1 .. 2^31-1 */
  int64_t page_size;         /* tokens in a page; 0: the cache is not paged */
  int64_t num_pages;         /* pages in the cache; 0 where page_size is 0 */
  int64_t rotary_dim;        /* elements of a row that are rotated, even; 0: none */
  int64_t max_position;      /* rows of cos and sin, 1 .. 2^31-1; 0 where rotary_dim is 0 */
  int64_t uniform_kv_len;    /* where kv_len is NULL: the length of every sequence */
  const void* q;             /* [batch, tokens, q_heads, head_dim]; NULL: none */
  void* q_out;               /* the same, written; may be q, with its strides; NULL where q is */
  const void* k;             /* [batch, tokens, kv_heads, head_dim] */
  const void* v;             /* [batch, tokens, kv_heads, head_dim_v] */
  void* k_cache;             /* [batch, max_kv_len, kv_heads, head_dim], or with pages
                                [num_pages, page_size, kv_heads, head_dim], written */
  void* v_cache;             /* as k_cache, rows of head_dim_v, written */
  int32_t* kv_len;           /* [batch], tokens in the cache before; written with
                                FLASHDEC_APPEND_ADVANCE alone; NULL: uniform_kv_len */
  const int32_t* new_len;    /* [batch], new tokens of each sequence, 0 .. tokens; the rest of k, v
                                and q is not used, nor that of q_out written; NULL: tokens */
  const int32_t* positions;  /* [batch], of the first new token; NULL: kv_len */
  const int32_t* page_table; /* [batch, ceil(max_kv_len / page_size)]; NULL without pages */
  const void* cos;           /* [max_position, rotary_dim / 2]; NULL where rotary_dim is 0 */
  const void* sin;           /* the same */
  uint32_t* status;          /* one word that faults are OR-ed into; NULL: not wanted */
  int64_t q_stride_batch, q_stride_token, q_stride_head;
  int64_t q_out_stride_batch, q_out_stride_token, q_out_stride_head;
  int64_t k_stride_batch, k_stride_token, k_stride_head;
  int64_t v_stride_batch, v_stride_token, v_stride_head;
  int64_t k_cache_stride_batch, k_cache_stride_token, k_cache_stride_head; /* batch: or page */
  int64_t v_cache_stride_batch, v_cache_stride_token, v_cache_stride_head;
  int64_t page_table_stride;
  int64_t cos_stride, sin_stride; /* of a position */
} flashdec_append_args;

/*
 * Append.
 *
 * stream  CUDA: a stream of that device; NULL: the default stream.  CPU: NULL.
 *
 * Pointers need the alignment of their element only; where all rows begin at
 * multiples of 16 bytes, and rotary_dim / 2 is a multiple of 16 bytes too, they
 * are moved faster.  Outputs must not overlap inputs, q_out = q excepted; that
 * is not checked.  Enqueues, or computes, as flashdec_run does; needs no
 * workspace.  Takes one launch, or two where kv_len advances and a sequence
 * has several new tokens, with more than some 64 KiB of rows.
 */
FLASHDEC_API int32_t flashdec_append(const flashdec_append_args* args, struct CUstream_st* stream);

#ifdef __cplusplus
}
#endif

#endif /* FLASHDEC_APPEND_H */
