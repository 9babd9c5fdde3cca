/*
 * flashdec_merge.h - partial results of attention become the whole.
 *
 * Copyright 2026 The flashdec authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Attention over a cache that is in several places is the merge of attention
 * over each: with o[i], lse[i] the results over part i (of flashdec_run, or of
 * an earlier merge),
 *
 *     lse = ln(sum_i exp(lse[i]))
 *     o = sum_i exp(lse[i] - lse) * o[i]
 *
 * (the merge of online softmax, Milakov and Gimelshein, 2018; over the devices
 * of a ring, Liu et al., "Ring Attention", 2023).  Sums are float32, in an
 * order that parts and head_dim fix; o is rounded once.
 *
 * - A part whose lse is -inf is empty: its o is not used, and may be NaN.  If
 *   all are, o is 0 and lse -inf.  One part that is not has its bits in the
 *   result (where o and part_o have the same dtype).
 * - An lse that is NaN or +inf makes that row's o and lse NaN.  Inf or NaN in
 *   the o of a part that is not empty makes that element Inf or NaN.
 * - Otherwise, and where no sum leaves float32's range, against exact
 *   arithmetic on the same inputs, with e = parts * 2^-24 and
 *   w[i] = exp(lse[i] - lse_exact):
 *     |o - o_exact| <= 0.625 ulp(o_exact) + (2^-19 + e) * sum_i w[i] |part_o[i]|
 *     |lse - lse_exact| <= 1e-6 + e + 2^-22 * |lse_exact|
 * - o may be one of the parts, and lse its lse: the same address, strides and
 *   dtype.  Other overlaps of outputs and inputs are not checked, and wrong.
 *
 * The rules for every function, section 3 of flashdec.h, hold here too.
 */
#ifndef FLASHDEC_MERGE_H
#define FLASHDEC_MERGE_H

#include "flashdec.h"

#ifdef __cplusplus
extern "C" {
#endif

/* flags: lse and part_lse are base-2 logarithms */
#define FLASHDEC_MERGE_BASE2 1u

typedef struct flashdec_merge_args {
  uint32_t struct_size;       /* sizeof(flashdec_merge_args) */
  uint32_t flags;             /* FLASHDEC_MERGE_* bits */
  uint32_t backend;           /* FLASHDEC_BACKEND_CPU or FLASHDEC_BACKEND_CUDA */
  int32_t device;             /* CUDA: the ordinal of the device that the arrays are on; CPU: 0 */
  uint32_t part_o_dtype;      /* flashdec_dtype */
  uint32_t part_lse_dtype;    /* flashdec_dtype; 0: FLASHDEC_FLOAT32 */
  uint32_t o_dtype;           /* flashdec_dtype; 0: part_o_dtype */
  uint32_t num_threads;       /* CPU: as in flashdec_preference; CUDA: ignored */
  int64_t parts;              /* 1 .. 2^31-1 */
  int64_t batch;              /* sequences, 1 .. 2^31-1 */
  int64_t heads;              /* query heads; batch * heads <= 2^31-1 */
  int64_t head_dim;           /* elements in a row of o, 1 .. 65536 */
  const void* part_o;         /* [parts, batch, heads, head_dim] */
  const void* part_lse;       /* [parts, batch, heads] */
  void* o;                    /* [batch, heads, head_dim], written */
  float* lse;                 /* [batch, heads], written; NULL: not wanted */
  int64_t part_o_stride_part; /* may be negative: two arrays are parts that lie their difference
                                 apart */
  int64_t part_o_stride_batch, part_o_stride_head;
  int64_t part_lse_stride_part; /* may be negative, too */
  int64_t part_lse_stride_batch, part_lse_stride_head;
  int64_t o_stride_batch, o_stride_head;
  int64_t lse_stride_batch, lse_stride_head; /* ignored where lse is NULL */
} flashdec_merge_args;

/*
 * Merge partial results.
 *
 * stream  CUDA: a stream of that device; NULL: the default stream.  CPU: NULL.
 *
 * Pointers need the alignment of their element only; rows that begin at
 * multiples of 16 bytes are read faster.  Packed rows [parts, batch, heads,
 * head_dim + 1] with lse behind o are part_lse = part_o + head_dim and the
 * same strides.  Enqueues, or computes, as flashdec_run does; needs no
 * workspace.
 */
FLASHDEC_API int32_t flashdec_merge(const flashdec_merge_args* args, struct CUstream_st* stream);

#ifdef __cplusplus
}
#endif

#endif /* FLASHDEC_MERGE_H */
