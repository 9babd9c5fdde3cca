/*
 * flashdec_probe.h - how fast a processor reads memory: the yardstick of
 * `flashdec bench`.
 *
 * Copyright 2026 The flashdec authors.  SPDX-License-Identifier: Apache-2.0
 */
#ifndef FLASHDEC_PROBE_H
#define FLASHDEC_PROBE_H

#include "flashdec.h"

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Read blocks of memory with the calling thread and do nothing with them.
 *
 *   memory       aligned to 64 bytes
 *   blocks       the numbers of the blocks, in the order in which they are read,
 *                each 0 or more; NULL: the first `count` blocks from end to end,
 *                as two streams side by side
 *   count        blocks, 1 or more
 *   block_bytes  of each block, a multiple of 256
 *   ahead        0 or more: the lines of the block this many places further on
 *                are prefetched meanwhile; 0: none
 */
FLASHDEC_API int32_t flashdec_probe(const void* memory, const int32_t* blocks, int64_t count,
                                    int64_t block_bytes, int64_t ahead);

#ifdef __cplusplus
}
#endif

#endif /* FLASHDEC_PROBE_H */
