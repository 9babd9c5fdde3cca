"""The arrays of a case in NumPy, with poison wherever nothing may be read or written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np

from kit.case import Case

NUMPY_DTYPES = {"float32": np.float32, "float16": np.float16, "bfloat16": ml_dtypes.bfloat16}
TABLE_POISON = np.array([-(2**31), 2**31 - 1, 2147480000, -1], np.int32)
SENTINEL = 0xA5  # bytes of an output before a run
PADDING = {"packed": 0, "padded": 3}  # elements after a row; 8 elsewhere, which keep it aligned


@dataclass
class Arrays:
    """What a run takes; ``slab`` is the memory that o is a part of."""

    q: Any
    k: Any
    v: Any
    o: Any
    slab: Any
    lse: Any
    kv_len: Any
    page_table: Any
    num_pages: int


def sequence_rows(case: Case, identity: int, length: int) -> tuple[Any, Any, Any]:
    """Queries, keys and values of one sequence: the same wherever in a batch it stands."""
    rng = np.random.default_rng([case.seed, identity])
    dtype = NUMPY_DTYPES[case.dtype]
    q = rng.standard_normal((case.q_heads, case.head_dim), np.float32)
    k = rng.standard_normal((length, case.kv_heads, case.head_dim), np.float32)
    v = rng.standard_normal((length, case.kv_heads, case.head_dim_v), np.float32)
    return q.astype(dtype), k.astype(dtype), v.astype(dtype)


def poison(array: Any, kind: str, seed: int) -> None:
    """Fill an array with what a kernel must not look at."""
    if kind == "zero":
        array[...] = 0
        return
    bits = array.view(np.uint16 if array.dtype.itemsize == 2 else np.uint32)
    rng = np.random.default_rng([seed, 77])
    bits[...] = rng.integers(0, np.iinfo(bits.dtype).max, bits.shape, bits.dtype, endpoint=True)
    if kind == "nan":  # NaN and Inf of both signs besides
        flat = array.reshape(-1)
        flat[::2] = np.nan
        flat[1::4] = np.inf
        flat[3::8] = -np.inf


def empty_cache(case: Case, shape: tuple[int, ...], kind: str) -> tuple[Any, Any]:
    """K and V of a logical shape [blocks, tokens, heads], poisoned, in the layout of the case."""
    blocks, tokens, heads = shape
    outer = (blocks, tokens, heads) if case.layout == "bshd" else (blocks, heads, tokens)
    dtype = NUMPY_DTYPES[case.dtype]
    dim, dim_v = case.head_dim, case.head_dim_v
    if case.strides == "interleaved":
        both = np.empty((*outer, dim + dim_v), dtype)
        poison(both, kind, case.seed)
        return both[..., :dim], both[..., dim:]
    pad = PADDING.get(case.strides, 8)
    k = np.empty((*outer[:2], outer[2] + bool(pad), dim + pad), dtype)
    v = np.empty((*outer[:2], outer[2] + bool(pad), dim_v + 2 * pad), dtype)
    poison(k, kind, case.seed)
    poison(v, kind, case.seed + 1)
    k, v = k[:, :, : outer[2], :dim], v[:, :, : outer[2], :dim_v]
    if case.strides == "broadcast":  # one head's rows serve all
        axis = 2 if case.layout == "bshd" else 1
        one = [slice(None)] * 4
        one[axis] = slice(0, 1)
        k, v = (np.broadcast_to(a[tuple(one)], a.shape) for a in (k, v))
    return k, v


def write_rows(case: Case, cache: Any, block: int, slots: slice, rows: Any) -> None:
    if case.strides == "broadcast":
        head = cache[block, slots, 0] if case.layout == "bshd" else cache[block, 0, slots]
        head.flags.writeable = True
        head[...] = rows[:, 0]
    elif case.layout == "bshd":
        cache[block, slots] = rows
    else:
        cache[block, :, slots] = rows.swapaxes(0, 1)


def page_ids(case: Case, page_order: int) -> tuple[Any, int]:
    """A permuted page table, its unused entries poisoned, and the number of pages."""
    width = -(-case.capacity // case.page_size)
    needed = [-(-length // case.page_size) for length in case.row_lengths]
    num_pages = sum(needed) + 2
    ids = np.random.default_rng([case.seed, 5, page_order]).permutation(num_pages).astype(np.int32)
    table = np.resize(TABLE_POISON, (case.batch, width)).copy()
    used = 0
    for b, count in enumerate(needed):
        table[b, :count] = ids[used : used + count]
        used += count
    return table, num_pages


def empty_lse(case: Case, pad: bool) -> Any:
    """A poisoned lse; heads outside the batch and apart from each other where rows are padded."""
    if not pad:
        return np.full((case.batch, case.q_heads), np.nan, np.float32)
    return np.full((case.q_heads, 2 * case.batch), np.nan, np.float32)[:, ::2].T


def build(
    case: Case,
    *,
    identities: Any = None,
    kind: str = "nan",
    page_order: int = 0,
) -> Arrays:
    """Make the arrays; ``identities`` are the sequences, in the order of the batch."""
    names = list(range(case.batch)) if identities is None else list(identities)
    dtype = NUMPY_DTYPES[case.dtype]
    table, num_pages = page_ids(case, page_order) if case.page_size else (None, 0)
    blocks = num_pages or case.batch
    tokens = case.page_size or case.capacity
    k, v = empty_cache(case, (blocks, tokens, case.kv_heads), kind)
    pad = case.strides != "packed"
    beside = PADDING.get(case.strides, 8)
    q = np.empty((case.batch, case.q_heads + pad, case.head_dim + beside), dtype)
    poison(q, kind, case.seed + 2)
    q = q[:, : case.q_heads, : case.head_dim]
    for b, (identity, length) in enumerate(zip(names, case.row_lengths, strict=True)):
        q[b], rows_k, rows_v = sequence_rows(case, identity, length)
        for start in range(0, length, tokens):
            block = b if table is None else int(table[b, start // tokens])
            slots = slice(0, min(tokens, length - start))
            write_rows(case, k, block, slots, rows_k[start : start + tokens])
            write_rows(case, v, block, slots, rows_v[start : start + tokens])
    slab = np.empty((case.batch + 2, case.q_heads + 2 * pad, case.head_dim_v + 2 * beside), dtype)
    slab.view(np.uint8)[...] = SENTINEL
    o = slab[1:-1, pad : pad + case.q_heads, beside : beside + case.head_dim_v]
    return Arrays(
        q=q,
        k=k,
        v=v,
        o=o,
        slab=slab,
        lse=empty_lse(case, pad) if case.lse else None,
        kv_len=np.array(case.lengths, np.int32)
        if isinstance(case.lengths, tuple)
        else case.lengths,
        page_table=table,
        num_pages=num_pages,
    )
