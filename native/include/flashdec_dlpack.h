/*
 * flashdec_dlpack.h - flashdec_args from arrays of other libraries.
 *
 * Copyright 2026 The flashdec authors.  SPDX-License-Identifier: Apache-2.0
 *
 * flashdec.h takes pointers and strides.  The functions here fill them in from
 * arrays that know their own shape, and check them against the plan on the way:
 * dtype, device, shape, innermost stride, writability.  They allocate nothing
 * and keep nothing.
 *
 * Three kinds of array are understood:
 *   DLPack tensors           a DLTensor in memory, for C, C++ and Rust
 *   Python objects whose     the table's functions are called with the object,
 *   type has an exchange     in about 0.1 us; PyTorch >= 2.10
 *   table of DLPack 1.3
 *   PyCapsules               of __dlpack__() and of NumPy's __array_struct__
 *
 * The library does not link to Python: the few functions of it that objects
 * take are looked up in the process that they are in.  Functions that take
 * objects must be called with the GIL held (ctypes.PyDLL) in a thread attached
 * to Python.
 *
 * Sources: DLPack 1.3, dlpack.h ("C Exchange API"); NumPy reference, "The array
 * interface protocol", C-struct access.
 */
#ifndef FLASHDEC_DLPACK_H
#define FLASHDEC_DLPACK_H

#include "flashdec.h"
#include "flashdec_append.h"
#include "flashdec_merge.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Declared by dlpack.h; any 1.x version of it will do. */
struct DLTensor;

/* The arrays of one run, in the order in which the functions below take them. */
enum flashdec_operand {
  FLASHDEC_OPERAND_Q = 0,          /* [batch, q_heads, head_dim] */
  FLASHDEC_OPERAND_K = 1,          /* 4-D, by flashdec_axes */
  FLASHDEC_OPERAND_V = 2,          /* 4-D, by flashdec_axes */
  FLASHDEC_OPERAND_O = 3,          /* [batch, q_heads, head_dim_v], writable */
  FLASHDEC_OPERAND_LSE = 4,        /* optional: float32 [batch, q_heads], writable */
  FLASHDEC_OPERAND_KV_LEN = 5,     /* optional: int32 [batch] */
  FLASHDEC_OPERAND_PAGE_TABLE = 6, /* with pages: int32 [batch, >= ceil(max_kv_len / page_size)] */
  FLASHDEC_OPERAND_STATUS = 7,     /* optional: uint32 or int32 [1], writable */
  FLASHDEC_OPERAND_COUNT = 8
};

/* The order of the axes of k and v. */
enum flashdec_axes {
  FLASHDEC_AXES_BSHD = 1, /* [batch or pages, tokens, kv_heads, head_dim] (with pages also: NHD) */
  FLASHDEC_AXES_BHSD = 2  /* [batch or pages, kv_heads, tokens, head_dim] (with pages also: HND) */
};

/* The arrays of one append. */
enum flashdec_append_operand {
  FLASHDEC_APPEND_OPERAND_K = 0,           /* [batch, kv_heads, head_dim]: one new token, or
                                              [batch, tokens, kv_heads, head_dim] */
  FLASHDEC_APPEND_OPERAND_V = 1,           /* the same, rows of head_dim_v */
  FLASHDEC_APPEND_OPERAND_K_CACHE = 2,     /* 4-D, by flashdec_axes, writable */
  FLASHDEC_APPEND_OPERAND_V_CACHE = 3,     /* 4-D, by flashdec_axes, writable */
  FLASHDEC_APPEND_OPERAND_KV_LEN = 4,      /* optional: int32 [batch] */
  FLASHDEC_APPEND_OPERAND_Q = 5,           /* optional: as k, with q_heads */
  FLASHDEC_APPEND_OPERAND_Q_OUT = 6,       /* with q: as q, writable */
  FLASHDEC_APPEND_OPERAND_COS = 7,         /* optional: [max_position, rotary_dim / 2] */
  FLASHDEC_APPEND_OPERAND_SIN = 8,         /* with cos: the same */
  FLASHDEC_APPEND_OPERAND_POSITIONS = 9,   /* optional: int32 [batch] */
  FLASHDEC_APPEND_OPERAND_NEW_LEN = 10,    /* optional: int32 [batch] */
  FLASHDEC_APPEND_OPERAND_PAGE_TABLE = 11, /* with pages: int32 [batch, pages] */
  FLASHDEC_APPEND_OPERAND_STATUS = 12,     /* optional: uint32 or int32 [1], writable */
  FLASHDEC_APPEND_OPERAND_COUNT = 13
};

/* The arrays of one merge. */
enum flashdec_merge_operand {
  FLASHDEC_MERGE_OPERAND_PART_O = 0,    /* [parts, batch, heads, head_dim]; of a pair the first:
                                           [batch, heads, head_dim] */
  FLASHDEC_MERGE_OPERAND_PART_LSE = 1,  /* [parts, batch, heads]; of a pair the first */
  FLASHDEC_MERGE_OPERAND_O = 2,         /* [batch, heads, head_dim], writable */
  FLASHDEC_MERGE_OPERAND_LSE = 3,       /* optional: float32 [batch, heads], writable */
  FLASHDEC_MERGE_OPERAND_OTHER_O = 4,   /* of a pair the second, laid out as the first */
  FLASHDEC_MERGE_OPERAND_OTHER_LSE = 5, /* of a pair the second */
  FLASHDEC_MERGE_OPERAND_COUNT = 6
};

/* How the objects of one type are read. */
enum flashdec_object_kind {
  FLASHDEC_OBJECT_EXCHANGE = 1,     /* an instance of a type with __dlpack_c_exchange_api__ */
  FLASHDEC_OBJECT_ARRAY_STRUCT = 2, /* a PyCapsule from __array_struct__ */
  FLASHDEC_OBJECT_CAPSULE = 3       /* a PyCapsule from __dlpack__(), not consumed */
};

typedef struct flashdec_object_reader {
  uint32_t struct_size;  /* sizeof(flashdec_object_reader) */
  uint32_t kind;         /* flashdec_object_kind */
  uint32_t opaque_dtype; /* ARRAY_STRUCT: flashdec_dtype of elements of kind 'V'; 0: refused */
  uint32_t reserved;     /* 0 */
  const void* exchange;  /* EXCHANGE: the DLPackExchangeAPI */
} flashdec_object_reader;

/* One array argument; object NULL: absent. */
typedef struct flashdec_object {
  const flashdec_object_reader* reader;
  void* object; /* borrowed: alive until the function returns */
} flashdec_object;

/*
 * All that flashdec_run_objects takes: filled once, changed from run to run.  One struct, because
 * to pass an argument costs Python some 0.1 microseconds.
 */
typedef struct flashdec_objects {
  uint32_t struct_size;   /* sizeof(flashdec_objects), set by the caller */
  uint32_t axes;          /* flashdec_axes */
  uint32_t flags;         /* as in flashdec_args */
  uint32_t reserved;      /* 0 */
  int64_t uniform_kv_len; /* as in flashdec_args */
  flashdec_object operands[FLASHDEC_OPERAND_COUNT];
  const flashdec_args* args; /* in place of objects, axes, flags and uniform_kv_len; or NULL */
  const flashdec_plan* plan;
  void* workspace; /* as flashdec_run takes it */
  uint64_t workspace_bytes;
  struct CUstream_st* stream; /* NULL: see flashdec_run_objects */
} flashdec_objects;

/* All that flashdec_append_objects takes. */
typedef struct flashdec_append_call {
  uint32_t struct_size;   /* sizeof(flashdec_append_call), set by the caller */
  uint32_t axes;          /* flashdec_axes, of the cache */
  uint32_t flags;         /* as in flashdec_append_args */
  uint32_t num_threads;   /* as in flashdec_append_args */
  int64_t uniform_kv_len; /* as in flashdec_append_args */
  flashdec_object operands[FLASHDEC_APPEND_OPERAND_COUNT];
  struct CUstream_st* stream; /* NULL: see flashdec_append_objects */
} flashdec_append_call;

/* All that flashdec_merge_objects takes. */
typedef struct flashdec_merge_call {
  uint32_t struct_size; /* sizeof(flashdec_merge_call), set by the caller */
  uint32_t flags;       /* as in flashdec_merge_args */
  uint32_t num_threads; /* as in flashdec_merge_args */
  uint32_t reserved;    /* 0 */
  flashdec_object operands[FLASHDEC_MERGE_OPERAND_COUNT];
  struct CUstream_st* stream; /* NULL: see flashdec_merge_objects */
} flashdec_merge_call;

/* What an array says of itself. */
typedef struct flashdec_array {
  uint32_t struct_size; /* sizeof(flashdec_array), set by the caller */
  uint32_t dtype;       /* flashdec_dtype; 0: another one */
  uint32_t type_code;   /* DLDataTypeCode: 0 int, 1 uint, 2 float, 4 bfloat, 5 complex, 6 bool; 255:
                           another one */
  uint32_t type_bits;   /* bits of an element, all lanes */
  int32_t device_type;  /* DLDeviceType: 1 CPU, 2 CUDA, 3 pinned host, 13 CUDA managed */
  int32_t device_id;
  uint32_t readonly;  /* 1: must not be written */
  int32_t ndim;       /* up to 8 */
  void* data;         /* of the first element */
  int64_t shape[8];   /* elements */
  int64_t strides[8]; /* elements */
} flashdec_array;

/*
 * Fill pointers and strides of *args from FLASHDEC_OPERAND_COUNT tensors
 * (NULL: absent), after checking them against the plan.  axes is a
 * flashdec_axes.  flags and uniform_kv_len of *args are left as they are;
 * nothing is written on a refusal.
 */
FLASHDEC_API int32_t flashdec_args_from_dlpack(const flashdec_plan* plan, uint32_t axes,
                                               const struct DLTensor* const* tensors,
                                               flashdec_args* args);

/*
 * The same from FLASHDEC_OPERAND_COUNT Python objects.  Where stream is not
 * NULL, *stream becomes the current stream of q's library on the plan's device,
 * if q's reader is an exchange table and the plan is a CUDA one; it is left as
 * it is otherwise.  GIL held.
 */
FLASHDEC_API int32_t flashdec_args_from_objects(const flashdec_plan* plan, uint32_t axes,
                                                const flashdec_object* objects, flashdec_args* args,
                                                struct CUstream_st** stream);

/*
 * flashdec_args_from_objects and flashdec_run in one call.  objects->stream
 * NULL: the current stream of q's library on the plan's device if q's reader
 * is an exchange table, else the default stream, which is also
 * cudaStreamLegacy.  Arrays are read with the GIL held; it is released while
 * the plan runs.
 */
FLASHDEC_API int32_t flashdec_run_objects(const flashdec_objects* objects);

/*
 * The same as a method of Python without arguments (a PyCFunction of
 * METH_NOARGS), which Python calls in a third of the time that ctypes takes.
 * capsule is a PyCapsule named "flashdec_objects" of a flashdec_objects that
 * the caller keeps alive.  Returns a new int, the status; NULL where Python has
 * set an exception, because capsule or one of the operands is none.
 */
FLASHDEC_API void* flashdec_run_method(void* capsule, void* no_arguments);

/*
 * flashdec_append on Python objects: sizes are those of k and of the cache, the
 * device that of k; everything else has to match.  call->stream NULL: the
 * current stream of k's library if k's reader is an exchange table, else the
 * default stream.  GIL held; it is released while the work runs.
 */
FLASHDEC_API int32_t flashdec_append_objects(const flashdec_append_call* call);

/*
 * flashdec_merge on Python objects: sizes and device are those of the parts.
 * call->stream NULL: the current stream of their library if the first one's
 * reader is an exchange table, else the default stream.  GIL held; it is
 * released while the work runs.
 */
FLASHDEC_API int32_t flashdec_merge_objects(const flashdec_merge_call* call);

/* What one object says of itself.  name is used in refusals.  GIL held. */
FLASHDEC_API int32_t flashdec_read_object(const flashdec_object* object, const char* name,
                                          flashdec_array* array);

#ifdef __cplusplus
}
#endif

#endif /* FLASHDEC_DLPACK_H */
