"""The memory of one measured problem: copies of its cache, rotated so that reads reach memory."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from flashdec._storage import Array, from_float32, storage_dtype, to_float32
from flashdec.bench.machine import memory_bytes
from flashdec.bench.shapes import Case
from flashdec.dtypes import DType
from flashdec.errors import InvalidArgumentError

__all__ = ["Problem", "check_fits", "make_problem"]

_ALIGNMENT = 4096  # bytes, of every array
_PATTERN = 2**21 + 37  # random elements, repeated: no two rows are the same
_MOST_OF_MEMORY = 0.7


@dataclass(frozen=True, slots=True)
class Problem:
    """One case in memory.

    Attributes
    ----------
    case : Case
        Its shape.
    dtype : DType
        Of q, k, v and o.
    layout : {"bshd", "bhsd"}
        The order of the axes of k and v.
    page_size : int
        Tokens in a page; 0 without pages.
    q : array ``[batch, q_heads, head_dim]``
        Queries, in storage (uint16 for bfloat16).
    k, v : list of array
        One per copy of the cache, in storage: ``[batch, tokens, kv_heads, head_dim]``, with pages
        ``[num_pages, page_size, kv_heads, head_dim]``, or heads before tokens.
    page_table : int32 array ``[batch, pages]`` or None
        A random permutation of all pages.
    memory : uint8 array
        All copies; what the probe reads.
    """

    case: Case
    dtype: DType
    layout: str
    page_size: int
    q: Array
    k: list[Array] = field(repr=False)
    v: list[Array] = field(repr=False)
    page_table: Array | None = field(repr=False)
    memory: Array = field(repr=False)

    @property
    def copies(self) -> int:
        """Copies of the cache."""
        return len(self.k)

    @property
    def read_bytes(self) -> int:
        """Bytes of K and V that one run reads."""
        return self.case.kv_bytes(self.dtype.itemsize)

    @property
    def block_bytes(self) -> int:
        """Bytes side by side in the cache of one page; 0 without pages."""
        if self.page_size == 0:
            return 0
        row = self.case.head_dim * self.dtype.itemsize
        return self.page_size * row * (1 if self.layout == "bhsd" else self.case.kv_heads)

    def rows(self, cache: Array, sequence: int, head: int) -> Array:
        """Return the live rows ``[kv_len, head_dim]`` of one sequence and KV head, in float32."""
        heads_first = self.layout == "bhsd"
        if self.page_table is None:
            rows = cache[sequence, head] if heads_first else cache[sequence, :, head]
        else:
            pages = self.page_table[sequence]
            rows = cache[pages, head] if heads_first else cache[pages, :, head]
        rows = rows.reshape(-1, self.case.head_dim)[: self.case.kv_len]
        return to_float32(rows, self.dtype)


def _cache_shape(case: Case, layout: str, page_size: int) -> tuple[int, int, int, int]:
    if page_size == 0:
        blocks, tokens = case.batch, case.kv_len
    else:
        blocks, tokens = case.batch * -(-case.kv_len // page_size), page_size
    if layout == "bhsd":
        return blocks, case.kv_heads, tokens, case.head_dim
    return blocks, tokens, case.kv_heads, case.head_dim


def _aligned_bytes(nbytes: int) -> Array:
    raw = np.empty(nbytes + _ALIGNMENT, np.uint8)
    skipped = -int(raw.__array_interface__["data"][0]) % _ALIGNMENT
    return raw[skipped : skipped + nbytes]


@dataclass(frozen=True, slots=True)
class _Sizes:
    """Bytes of K or V, padded to the alignment, and of all copies of both."""

    padded: int
    total: int


def _sizes(case: Case, dtype: DType, layout: str, page_size: int, rotation_bytes: int) -> _Sizes:
    half = math.prod(_cache_shape(case, layout, page_size)) * dtype.itemsize
    padded = -(-half // _ALIGNMENT) * _ALIGNMENT
    return _Sizes(padded, 2 * padded * max(2, -(-rotation_bytes // (2 * padded))))


def check_fits(
    case: Case, dtype: DType, *, layout: str, page_size: int, rotation_bytes: int
) -> None:
    """Refuse a case whose caches in rotation do not fit into the memory that is available.

    The parameters are those of `make_problem`.

    Raises
    ------
    InvalidArgumentError
        If they do not.
    """
    needed = _sizes(case, dtype, layout, page_size, rotation_bytes).total
    available = memory_bytes("MemAvailable")
    if available and needed > _MOST_OF_MEMORY * available:
        raise InvalidArgumentError(
            f"case {case} needs {needed / 1e9:.1f} GB of caches in rotation; "
            f"{available / 1e9:.1f} GB of memory are available"
        )


def _fill(memory: Array, one: int, dtype: DType, rng: np.random.Generator) -> None:
    """Fill the first copy with a repeated random pattern, then the others with the first."""
    pattern = from_float32(rng.standard_normal(_PATTERN, np.float32), dtype).view(np.uint8)
    first = memory[:one]
    for start in range(0, one, pattern.nbytes):
        first[start : start + pattern.nbytes] = pattern[: one - start]
    for start in range(one, memory.nbytes, one):
        memory[start : start + one] = first


def make_problem(
    case: Case,
    dtype: DType,
    *,
    layout: str = "bshd",
    page_size: int = 0,
    rotation_bytes: int = 512 * 2**20,
    seed: int = 0,
) -> Problem:
    """Allocate and fill the memory of a case.

    Parameters
    ----------
    case : Case
        Its shape.
    dtype : DType
        Of q, k, v and o.
    layout : {"bshd", "bhsd"}
        The order of the axes of k and v.
    page_size : int
        Tokens in a page; 0 without pages.
    rotation_bytes : int
        All copies of the cache together are at least this large, and there are at least two.
    seed : int
        Of the values and the page table.

    Raises
    ------
    InvalidArgumentError
        If the copies do not fit into the memory that is available.
    """
    rng = np.random.default_rng(seed)
    shape = _cache_shape(case, layout, page_size)
    half = math.prod(shape) * dtype.itemsize
    sizes = _sizes(case, dtype, layout, page_size, rotation_bytes)
    check_fits(case, dtype, layout=layout, page_size=page_size, rotation_bytes=rotation_bytes)
    one = 2 * sizes.padded
    memory = _aligned_bytes(sizes.total)
    _fill(memory, one, dtype, rng)

    def cache(start: int) -> Array:
        return memory[start : start + half].view(storage_dtype(dtype)).reshape(shape)

    starts = range(0, memory.nbytes, one)
    table = None
    if page_size:
        table = rng.permutation(shape[0]).astype(np.int32).reshape(case.batch, -1)
    q = rng.standard_normal((case.batch, case.q_heads, case.head_dim), np.float32)
    return Problem(
        case=case,
        dtype=dtype,
        layout=layout,
        page_size=page_size,
        q=from_float32(q, dtype),
        k=[cache(start) for start in starts],
        v=[cache(start + sizes.padded) for start in starts],
        page_table=table,
        memory=memory,
    )
