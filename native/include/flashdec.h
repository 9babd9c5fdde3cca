/*
 * flashdec.h - decode attention over a key/value cache, as a plain C ABI.
 *
 * Copyright 2026 The flashdec authors.  SPDX-License-Identifier: Apache-2.0
 *
 *
 * 1. What it computes
 * -------------------
 * One query token per sequence attends to that sequence's whole cache.  For
 * sequence b, query head h and its key/value head g = h / (q_heads / kv_heads):
 *
 *     s[t] = scale * sum_d q[b,h,d] * k[b,t,g,d]        t = 0 .. kv_len[b]-1
 *     p[t] = exp(s[t])
 *     o[b,h,:] = sum_t p[t] * v[b,t,g,:] / sum_t p[t]
 *     lse[b,h] = ln(sum_t p[t])
 *
 * (scaled dot-product attention, Vaswani et al., "Attention Is All You Need",
 * 2017, section 3.2.1; q_heads > kv_heads is grouped-query attention, Ainslie
 * et al., 2023).  The cache is cut along t into splits that run in parallel;
 * each leaves (m, l, o): its running maximum, sum and weighted values, in
 * float32; a combine step folds them in split order (Dao et al.,
 * "Flash-Decoding", 2023).
 *
 *
 * 2. How it is used
 * -----------------
 *     flashdec_descriptor d = {0};                  // the problem's shape
 *     d.struct_size = sizeof d;
 *     d.batch = 8; d.q_heads = 32; d.kv_heads = 8;
 *     d.max_kv_len = 4096; d.head_dim = 128;
 *     d.q_dtype = d.kv_dtype = FLASHDEC_BFLOAT16;
 *
 *     flashdec_plan plan;                           // decide once
 *     if (flashdec_select(&d, NULL, stream, &plan) != FLASHDEC_SUCCESS)
 *         fail(flashdec_last_error());
 *
 *     uint64_t bytes, align;                        // the caller allocates
 *     flashdec_workspace_size(&plan, &bytes, &align);
 *
 *     flashdec_args a = {0};                        // pointers and strides
 *     a.struct_size = sizeof a;
 *     a.q = q; a.q_stride_batch = 32 * 128; ...
 *     flashdec_run(&plan, &a, workspace, bytes, stream);    // many times
 *
 *
 * 3. Rules that hold for every function
 * -------------------------------------
 * - A return value of FLASHDEC_SUCCESS (0) means done; anything else is a
 *   flashdec_status, nothing was written through any pointer of the caller's,
 *   and flashdec_last_error() holds one sentence with the value, the limit
 *   and the reason.
 * - Structs that the caller fills begin with struct_size = sizeof(the struct).
 *   Later versions only append fields, so an older caller keeps working: the
 *   fields it does not know count as 0.  A newer caller is served as long as
 *   the fields that this library does not know are all 0.
 * - 0 means "the default" in every field where a default is named below.  It
 *   is never a valid dtype or size.  Unknown flag bits are refused.
 * - Extents and strides count elements, never bytes.  The innermost stride
 *   (along head_dim) is always 1.  A stride of 0 broadcasts an input.  A stride
 *   along an axis of one element is not looked at.
 * - No function prints, aborts, throws, changes the caller's CUDA device or
 *   context, or reads or writes through a pointer of the caller's after the
 *   work it enqueued.
 * - Every function may be called from any thread at any time.
 * - In one process: nothing but the functions here is exported, and the
 *   library loads on machines that have neither a GPU nor a driver.
 *
 * flashdec_select reads three variables of the environment (flashdec_append the
 * first and the last of them, flashdec_merge the last):
 *   FLASHDEC_CHECK          1: see rule 8 below; 0, or unset: no such checks
 *   FLASHDEC_ISA            CPU: reference, generic, on x86-64 avx2, avx512 or avx512bf16, on
 *                           aarch64 neon or neonbf16, exactly that one; unset: the best that
 *                           the processor has
 *   FLASHDEC_NUM_THREADS    CPU: threads of a plan, 1 to 1024; unset: the
 *                           processors that the calling thread may run on
 *
 *
 * 4. The numeric contract
 * -----------------------
 * Every kernel of every backend keeps it; tests/ checks it row by row.
 *
 *  1. Scores, softmax state, accumulators, split partials and the combine are
 *     float32.  The output is rounded once, to nearest even.
 *  2. lse is the natural logarithm, or to the base 2 if a flag asks for that:
 *     log2(e) times as large, as are the bounds of its error.  An empty
 *     sequence (length 0) gives o = 0 and lse = -inf, and merging it into
 *     another state changes no bit of it.
 *  3. Nothing outside the live tokens is used: unused cache slots, unused
 *     page-table entries, row padding and the workspace's old contents may
 *     hold NaN, Inf or anything else.  The workspace needs no initialisation.
 *     All of the cache that the descriptor describes is memory, though: a
 *     kernel may read max_kv_len tokens of every sequence, or of a paged cache
 *     any of the num_pages pages, and then not use them.
 *  4. NaN or Inf in a live token propagates as the formula says, to that
 *     (sequence, head) alone.  With m the largest score, on the CPU perhaps one
 *     that it exceeds by up to 8 ln 2, p is computed as exp(s - m): a score of
 *     +Inf therefore makes o and lse NaN, and a sequence of which every score
 *     is -Inf has o = 0/0 = NaN, lse = -inf.
 *  5. Deterministic: the same inputs with the same plan on the same device
 *     give the same bits, always.  No atomics touch results.
 *  6. With preference.batch_invariant a sequence's bits depend only on its own
 *     q, k, v and length and on the plan's split_len: not on the batch around
 *     it, its place in it, the cache's capacity, paging, the page size, or
 *     the number of threads or multiprocessors.  On a GPU an alignment below
 *     16 bytes selects a kernel with other bits, and so do 2^31 splits or more
 *     in all, of every sequence and key/value head.
 *  7. Error per element, against exact arithmetic on the same inputs, where no
 *     sum leaves float32's range:
 *       |o - o_exact| <= 0.625 ulp(o_exact)
 *                        + (u + 2^-20 + 2^-21 * S) * sum_t p[t] |v[t]| / sum_t p[t]
 *       |lse - lse_exact| <= 1e-5 * max(1, |lse_exact|) + 2^-21 * S
 *     with S = max_t |scale| * sum_d |q[d] k[t,d]|, to which the rounding of a
 *     float32 score is proportional, and u the unit roundoff of what p is
 *     rounded to for tensor cores: 2^-8 where the plan's math_precision is
 *     bfloat16, 2^-11 where it is float16, 0 for float32.  The bound holds for
 *     any number of tokens: no sum along t grows long enough to drift, or it
 *     carries its rounding error.  Subnormal elements of q and k in bfloat16
 *     (below 2^-126) may count as 0.
 *  8. What lies in device memory cannot be refused without a synchronisation,
 *     so it is made harmless and loud.  A kv_len entry outside
 *     [0, max_kv_len], or a page id outside [0, num_pages) among the live
 *     entries, reads nothing outside the cache: that sequence's o and lse
 *     become NaN, every other sequence keeps its bits (beside a bad length
 *     those that it has beside an empty sequence, where the lengths of the
 *     batch decide the splits), and a bit of *args.status is set.  With FLASHDEC_CHECK=1 in the
 * environment when the plan is selected, flashdec_run validates first (with a synchronisation) and
 * returns FLASHDEC_INVALID_KV_LEN or FLASHDEC_INVALID_PAGE with a sentence that names the entry,
 * and runs nothing.
 *
 * The ABI is version 0: it may change until the first release.
 */
#ifndef FLASHDEC_H
#define FLASHDEC_H

#include <stdint.h>

#define FLASHDEC_VERSION_MAJOR 0
#define FLASHDEC_VERSION_MINOR 1
#define FLASHDEC_VERSION_PATCH 0

/* Compare with flashdec_abi_version() before any other call. */
#define FLASHDEC_ABI_VERSION 0

#if defined(__GNUC__)
#define FLASHDEC_API __attribute__((visibility("default")))
#else
#define FLASHDEC_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* A CUstream or cudaStream_t; declared here so that no CUDA header is needed. */
struct CUstream_st;

/* -------------------------------------------------------------------------
 * Status codes: 0 is success, each family has its own tens.
 * The functions return them as int32_t.
 * ---------------------------------------------------------------------- */
enum flashdec_status {
  FLASHDEC_SUCCESS = 0,

  /* The caller's arguments. */
  FLASHDEC_NULL_POINTER = 10,        /* a required pointer is NULL */
  FLASHDEC_INVALID_STRUCT_SIZE = 11, /* struct_size is too small, or an unknown tail is not 0 */
  FLASHDEC_INVALID_FLAGS = 12,       /* a flag bit this library does not know */
  FLASHDEC_INVALID_VALUE = 13,       /* a size, dtype or option outside its range */
  FLASHDEC_INVALID_STRIDE = 14,      /* negative, overflowing, or an output that overlaps itself */
  FLASHDEC_MISALIGNED = 15,          /* a pointer or stride below the promised alignment */
  FLASHDEC_WORKSPACE_TOO_SMALL = 16, /* fewer bytes than flashdec_workspace_size says */
  FLASHDEC_INVALID_PLAN = 17,        /* not a plan of this build of the library */
  FLASHDEC_INVALID_KV_LEN = 18,      /* FLASHDEC_CHECK=1 only: a length outside its range */
  FLASHDEC_INVALID_PAGE = 19,        /* FLASHDEC_CHECK=1 only: a page id outside its range */

  /* Legal, but this build or device has no kernel for it. */
  FLASHDEC_UNSUPPORTED = 20,      /* no kernel for this dtype, size or device */
  FLASHDEC_PREFERENCE_UNMET = 21, /* kernels exist, but none within the preference */

  /* The machine. */
  FLASHDEC_NO_DEVICE = 30,     /* no usable GPU, or no driver, or one too old */
  FLASHDEC_WRONG_DEVICE = 31,  /* a stream or pointer of another device */
  FLASHDEC_CUDA_ERROR = 32,    /* the CUDA driver or runtime reported an error */
  FLASHDEC_OUT_OF_MEMORY = 33, /* the host has no memory */

  /* Ours. */
  FLASHDEC_INTERNAL_ERROR = 40 /* a defect of this library: please report it */
};

/* Element types.  Values are part of the ABI; 0 is none of them. */
enum flashdec_dtype {
  FLASHDEC_FLOAT32 = 1,
  FLASHDEC_FLOAT16 = 2, /* IEEE 754 binary16 */
  FLASHDEC_BFLOAT16 = 3 /* the upper half of a binary32 */
};

enum flashdec_backend {
  FLASHDEC_BACKEND_ANY = 0, /* in a preference: CUDA where there is a usable GPU, else the CPU */
  FLASHDEC_BACKEND_CPU = 1,
  FLASHDEC_BACKEND_CUDA = 2
};

/* What a kernel is for. */
enum flashdec_category { FLASHDEC_CATEGORY_ATTENTION = 1 };
enum flashdec_op { FLASHDEC_OP_DECODE = 1 };

/* Which cache layouts a kernel reads. */
enum flashdec_layout {
  FLASHDEC_LAYOUT_STRIDED = 1, /* contiguous cache, any strides */
  FLASHDEC_LAYOUT_PAGED = 2,   /* page table, any strides */
  FLASHDEC_LAYOUT_ANY = 3      /* both */
};

/* What a kernel may write beside o. */
enum flashdec_epilogue {
  FLASHDEC_EPILOGUE_NONE = 1,
  FLASHDEC_EPILOGUE_LSE = 2 /* o, and lse where args.lse is given */
};

/* Bits of *args.status; they are OR-ed in and never cleared by the library. */
enum flashdec_fault {
  FLASHDEC_FAULT_KV_LEN = 1,  /* some kv_len was outside [0, max_kv_len]; flashdec_append:
                                  the cache is full, or some new_len outside its range */
  FLASHDEC_FAULT_PAGE = 2,    /* some live page id was outside [0, num_pages) */
  FLASHDEC_FAULT_POSITION = 4 /* flashdec_append: some position was outside [0, max_position) */
};

/* -------------------------------------------------------------------------
 * flashdec_descriptor: the shape of the problem.  One plan made from it
 * serves every layer of a model and every step up to max_kv_len.
 * ---------------------------------------------------------------------- */
typedef struct flashdec_descriptor {
  uint32_t struct_size; /* sizeof(flashdec_descriptor) */
  uint32_t flags;       /* 0: none is defined yet */
  int64_t batch;        /* sequences, 1 .. 2^31-1 */
  int64_t q_heads;      /* query heads, a multiple of kv_heads; batch * q_heads <= 2^31-1 */
  int64_t kv_heads;     /* key/value heads, 1 .. q_heads */
  int64_t max_kv_len;   /* tokens: the bound of every length, 1 .. 2^31-1 */
  int64_t head_dim;     /* elements in a row of q and k; kernels exist for 1 .. 256 */
  int64_t head_dim_v;   /* elements in a row of v and o; 0: head_dim */
  int64_t page_size;    /* tokens in a page, 1 .. 2^31-1; 0: the cache is not paged */
  int64_t num_pages;    /* pages in the cache, 1 .. 2^31-1; 0 where page_size is 0 */
  float scale;          /* of the scores, -2e38 .. 2e38; 0: 1/sqrt(head_dim) */
  uint32_t q_dtype;     /* flashdec_dtype of q and o */
  uint32_t kv_dtype;    /* flashdec_dtype of k and v; today the same as q_dtype */
  uint32_t alignment;   /* bytes, a power of two from the element's size up to 256, that every
                           pointer and stride of q, k, v and o is a multiple of; 0: the largest
                           power of two up to 16 that divides a row of k and a row of v.  Less
                           alignment selects another kernel. */
} flashdec_descriptor;

/* -------------------------------------------------------------------------
 * flashdec_preference: what select may choose.  All 0: the defaults.
 * ---------------------------------------------------------------------- */
#define FLASHDEC_PREFER_BATCH_INVARIANT 1u /* flags: rule 6 of the numeric contract */
#define FLASHDEC_PREFER_NO_SM90A 2u        /* flags: leave out kernels that need sm_90a */
#define FLASHDEC_PREFER_NO_WORKSPACE 4u    /* flags: only plans whose workspace size is 0 */

typedef struct flashdec_preference {
  uint32_t struct_size; /* sizeof(flashdec_preference) */
  uint32_t flags;       /* FLASHDEC_PREFER_* bits */
  int64_t
      max_workspace_bytes; /* fewer splits are chosen, down to one, to stay within; 0: no limit */
  int64_t split_len;       /* tokens in a split, 1 .. 2^31-1, rounded up to the kernel's tile;
                              0: chosen by the schedule */
  uint32_t prefer_backend; /* flashdec_backend; anything but ANY is binding */
  uint32_t num_threads;    /* CPU: threads that take part, 1 .. 1024; 0: FLASHDEC_NUM_THREADS or
                              else the processors this thread may run on.  CUDA: ignored. */
} flashdec_preference;

/* -------------------------------------------------------------------------
 * flashdec_args: where the arrays of one run are.
 *
 * On a CUDA plan every pointer is a device pointer of the plan's device, on a
 * CPU plan a host pointer.  Outputs must not overlap inputs or the workspace;
 * that is not checked.
 * All strides are in elements and >= 0.
 * ---------------------------------------------------------------------- */
/* flags: uniform_kv_len is the length of every sequence */
#define FLASHDEC_ARGS_UNIFORM_KV_LEN 1u
/* flags: flashdec_workspace_prepare has filled the workspace */
#define FLASHDEC_ARGS_PREPARED_WORKSPACE 2u
/* flags: lse is a logarithm to the base 2; o is the same */
#define FLASHDEC_ARGS_BASE2 4u

typedef struct flashdec_args {
  uint32_t struct_size;      /* sizeof(flashdec_args) */
  uint32_t flags;            /* FLASHDEC_ARGS_* bits */
  const void* q;             /* [batch, 1, q_heads, head_dim] */
  const void* k;             /* [batch, tokens, kv_heads, head_dim], or with pages
                                [num_pages, page_size, kv_heads, head_dim] */
  const void* v;             /* as k, rows of head_dim_v */
  void* o;                   /* [batch, 1, q_heads, head_dim_v], written */
  float* lse;                /* [batch, q_heads], written; NULL: not wanted */
  const int32_t* kv_len;     /* [batch], read when the work runs; NULL: uniform_kv_len if its flag
                                is set, else every length is max_kv_len */
  const int32_t* page_table; /* [batch, >= ceil(max_kv_len / page_size)], ids into the cache;
                                required with pages, NULL without */
  uint32_t* status;          /* one word, run-time faults are OR-ed in; NULL: not wanted */
  int64_t q_stride_batch, q_stride_token, q_stride_head;
  int64_t k_stride_batch /* or page */, k_stride_token, k_stride_head;
  int64_t v_stride_batch /* or page */, v_stride_token, v_stride_head;
  int64_t o_stride_batch, o_stride_token, o_stride_head;
  int64_t lse_stride_batch, lse_stride_head; /* ignored where lse is NULL */
  int64_t page_table_stride; /* between the rows of page_table; 0: every row is the first one */
  int64_t uniform_kv_len;    /* 0 .. max_kv_len, with FLASHDEC_ARGS_UNIFORM_KV_LEN and no kv_len */
} flashdec_args;

/* -------------------------------------------------------------------------
 * flashdec_plan: a decision, as plain data owned by the caller.
 *
 * Copy it, compare it with memcmp, share it between threads; there is nothing
 * to destroy.  It holds no pointers, and its unused bytes are 0.  It belongs
 * to the build of the library that made it, whose plans others refuse, and to
 * the machine that it was made on.
 * Runs of one plan may overlap if each has its own workspace.
 * ---------------------------------------------------------------------- */
typedef struct flashdec_plan {
  uint64_t opaque[128];
} flashdec_plan;

/* What a kernel guarantees. */
typedef struct flashdec_precision_guarantee {
  uint32_t math_precision; /* flashdec_dtype in which p is multiplied with v: gives u of rule 7 */
  uint32_t accumulator;    /* flashdec_dtype of every sum: FLASHDEC_FLOAT32 */
  uint32_t bit_stable_on_same_hardware; /* 1: the same bits in every process on the same hardware */
  uint32_t deterministic;               /* 1: the same bits in every run */
  uint32_t batch_invariant;             /* 1: rule 6 holds */
} flashdec_precision_guarantee;

/* The identity of a kernel. */
typedef struct flashdec_kernel_sku {
  uint32_t struct_size; /* sizeof(flashdec_kernel_sku), set by the caller */
  uint32_t category;    /* flashdec_category */
  uint32_t op;          /* flashdec_op */
  uint32_t element;     /* flashdec_dtype of q and o */
  uint32_t aux_element; /* flashdec_dtype of k and v */
  uint32_t layout;      /* flashdec_layout */
  uint32_t epilogue;    /* flashdec_epilogue */
  uint32_t arch;        /* CUDA: the least compute capability, 10 * major + minor; CPU: 0 */
  uint32_t backend;     /* flashdec_backend */
  flashdec_precision_guarantee guarantee; /* of a plan: with its preference; of a kernel: at best */
  char name[64]; /* unique, NUL-terminated, for example "cpu_avx512_bf16" */
} flashdec_kernel_sku;

/* What a plan decided. */
typedef struct flashdec_plan_facts {
  uint32_t struct_size; /* sizeof(flashdec_plan_facts), set by the caller */
  uint32_t backend;     /* flashdec_backend */
  uint32_t kernel;      /* row of the kernel table, 0 .. flashdec_kernel_count()-1 */
  int32_t device;       /* CUDA: the device's ordinal; CPU: -1 */
  uint32_t num_threads; /* CPU: the most threads that take part; CUDA: 0 */
  uint32_t launches;    /* CUDA: kernels that a run enqueues, given a prepared workspace; CPU: 0 */
  int64_t max_splits;   /* splits of a sequence of max_kv_len tokens, at most */
  int64_t split_len;    /* tokens in a split; 0: the kernel cuts by the lengths that it finds */
  int64_t tile;         /* tokens that the kernel takes at a time */
  int64_t workspace_bytes;
  int64_t workspace_align;
} flashdec_plan_facts;

/* -------------------------------------------------------------------------
 * The four verbs
 * ---------------------------------------------------------------------- */

/*
 * Validate the problem, pick a kernel, fix the splits and the workspace size.
 *
 * desc        required.
 * preference  NULL: the defaults.
 * stream      CUDA: fixes device and context; NULL: the current device of the calling thread, or
 *             device 0.  A CPU plan takes NULL.
 * plan        required; written on success only.
 *
 * Host only: touches no device memory and needs no GPU for a CPU plan.  Takes
 * a few microseconds; keep the plan.
 */
FLASHDEC_API int32_t flashdec_select(const flashdec_descriptor* desc,
                                     const flashdec_preference* preference,
                                     struct CUstream_st* stream, flashdec_plan* plan);

/*
 * The exact number of bytes that flashdec_run needs, and their alignment.
 * Depends on the plan alone, so it is right for any lengths on the device.
 * bytes and align are required and written on success only; bytes may be 0.
 */
FLASHDEC_API int32_t flashdec_workspace_size(const flashdec_plan* plan, uint64_t* bytes,
                                             uint64_t* align);

/*
 * Fill a workspace, once, so that runs may exchange their partial results
 * within one launch: give them FLASHDEC_ARGS_PREPARED_WORKSPACE in args.flags.
 * A run leaves a prepared workspace as it found it, so it serves any number of
 * runs of this plan and of any plan that needs no more than `bytes`, one after
 * another: on one stream, or ordered by the caller.  The results are the same
 * bits as without.  Whoever writes to it, runs a plan in it without the flag,
 * aborts a run or gets FLASHDEC_CUDA_ERROR from one, prepares it again.
 * With FLASHDEC_CHECK=1 a run first looks whether it still is prepared.
 *
 * The blocks of such a launch wait for each other.  Where there is no room for
 * all of them at once, those of plans for one sequence, of one length that the
 * host knows, or with batch_invariant, go after some 50 us and leave their
 * part to the last one.  Others begin together or not at all: on a part of a
 * GPU that is too small for them they take two launches instead, in a green
 * context always, elsewhere where the driver refuses, which it does not while
 * a stream is captured.  So do not capture runs of those with the flag in a
 * context that MPS has given a part of the multiprocessors.
 *
 * workspace, bytes, stream  as for flashdec_run; the fill is enqueued on the stream.  On a CPU plan
 *                           there is nothing to do.
 */
FLASHDEC_API int32_t flashdec_workspace_prepare(const flashdec_plan* plan, void* workspace,
                                                uint64_t bytes, struct CUstream_st* stream);

/*
 * Whether flashdec_run would accept these arguments; if not, the status and
 * flashdec_last_error() say why.  The same checker as flashdec_run's; it
 * enqueues nothing and reads none of the arrays.
 */
FLASHDEC_API int32_t flashdec_can_implement(const flashdec_plan* plan, const flashdec_args* args);

/*
 * Compute.
 *
 * workspace  at least `bytes` bytes at flashdec_workspace_size's alignment, on the device of the
 *            plan; needs no initialisation; NULL where the size is 0.  It must stay alive, and
 *            unused by others, until the work is done.
 * stream     CUDA: a stream of the plan's device; NULL: the default stream.  CPU: NULL.
 *
 * CUDA: returns when the work is enqueued, and may be captured into a graph,
 * whose replays read kv_len, page_table and the arrays anew.  CPU: returns
 * when the work is done, and takes up to 256 KiB of the calling thread's
 * stack.  Allocates nothing but threads the first time and some 40 bytes for
 * each kernel in each context, and never synchronises (FLASHDEC_CHECK=1
 * excepted).
 *
 * From compute capability 9.0 on kernels use programmatic dependent launch:
 * they take their places while the kernel before them ends, and wait for it
 * before they read or write anything; and they let the next one do so.  It
 * concerns the caller only where the next kernel of the stream is launched
 * with that attribute, too: that one must wait (griddepcontrol.wait, or
 * cudaGridDependencySynchronize) before it reads or writes an output or the
 * workspace, and before it writes an input.
 */
FLASHDEC_API int32_t flashdec_run(const flashdec_plan* plan, const flashdec_args* args,
                                  void* workspace, uint64_t bytes, struct CUstream_st* stream);

/* -------------------------------------------------------------------------
 * Threads of the caller's own, for programs that have a pool already
 * ---------------------------------------------------------------------- */

/* Does item `index` of a job; may be called from any thread. */
typedef void (*flashdec_item)(void* job, int64_t index);

/* Calls item(job, i) once for each i in [0, items), in any order, on up to num_threads threads, and
   returns when all are done.  Throws nothing. */
typedef void (*flashdec_parallel_for)(void* context, uint32_t num_threads, int64_t items,
                                      flashdec_item item, void* job);

typedef struct flashdec_threads {
  uint32_t struct_size; /* sizeof(flashdec_threads) */
  uint32_t reserved;    /* 0 */
  void* context;        /* handed back to parallel_for */
  flashdec_parallel_for parallel_for;
} flashdec_threads;

/*
 * Let runs, appends and merges on the CPU that the calling thread makes from now
 * on do their work by `threads`, of which a copy is kept, instead of the
 * library's own pool; NULL: by that again.  Other threads are not affected.  What
 * is too little to share is done without it.  The bits are the same.
 *
 * A run whose parallel_for has done other than every item once returns
 * FLASHDEC_INVALID_VALUE; then its outputs are not to be used.
 */
FLASHDEC_API int32_t flashdec_use_threads(const flashdec_threads* threads);

/* -------------------------------------------------------------------------
 * Reading plans and the kernel table
 * ---------------------------------------------------------------------- */

/* The kernel that a plan runs, with the guarantee under the plan's preference. */
FLASHDEC_API int32_t flashdec_sku(const flashdec_plan* plan, flashdec_kernel_sku* sku);

/* What a plan decided. */
FLASHDEC_API int32_t flashdec_plan_info(const flashdec_plan* plan, flashdec_plan_facts* facts);

/* Rows of the kernel table of this build, best first; the references come last. */
FLASHDEC_API uint32_t flashdec_kernel_count(void);

/* The name of row `index` (static storage), or NULL past the end. */
FLASHDEC_API const char* flashdec_kernel_name(uint32_t index);

/* The identity of row `index`; FLASHDEC_INVALID_VALUE past the end. */
FLASHDEC_API int32_t flashdec_kernel_info(uint32_t index, flashdec_kernel_sku* sku);

/*
 * Whether flashdec_select could choose row `index` for this problem, with this preference, here;
 * otherwise the status and the sentence that say why not.  It chooses the first row that it could.
 */
FLASHDEC_API int32_t flashdec_kernel_supports(uint32_t index, const flashdec_descriptor* desc,
                                              const flashdec_preference* preference,
                                              struct CUstream_st* stream);

/* -------------------------------------------------------------------------
 * Versions and errors
 * ---------------------------------------------------------------------- */

/* "0.1.0"; static storage. */
FLASHDEC_API const char* flashdec_version(void);

/* FLASHDEC_ABI_VERSION of the library that is loaded. */
FLASHDEC_API uint32_t flashdec_abi_version(void);

/* The name of a status code, "FLASHDEC_SUCCESS" for instance; "unknown status" for others. */
FLASHDEC_API const char* flashdec_status_string(int32_t status);

/*
 * The sentence of this thread's latest refusal: UTF-8, valid until the next
 * call of this library in the same thread that fails.  "" if none has failed.
 */
FLASHDEC_API const char* flashdec_last_error(void);

#ifdef __cplusplus
}
#endif

#endif /* FLASHDEC_H */
