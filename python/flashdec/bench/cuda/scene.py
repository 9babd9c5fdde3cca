"""The memory of a line: one pool for all lines, and the copies of a cache that lie in it."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from flashdec.bench.cuda.gpu import Gpu
from flashdec.bench.cuda.lines import Line
from flashdec.dtypes import DType
from flashdec.errors import InvalidArgumentError

__all__ = ["ROTATION_BYTES", "Pool", "Scene", "copies_of", "make_scene", "pool_bytes"]

ROTATION_BYTES = 8 * 2**30
"""Bytes of K and V in one replay, unless that took more than `_MOST_COPIES` copies."""

_MOST_COPIES = 256
_ALIGNMENT = 256  # bytes, of every k and v
_CHUNK = 2**28  # elements that are filled at a time
_MOST_OF_MEMORY = 0.7
_SEED = 0


def _padded(line: Line) -> int:
    """Bytes from the start of k to the start of v."""
    half = math.prod(line.cache_shape) * line.dtype.itemsize
    return -(-half // _ALIGNMENT) * _ALIGNMENT


def copies_of(line: Line) -> int:
    """Return how many copies of a line's cache are rotated."""
    return min(_MOST_COPIES, -(-ROTATION_BYTES // line.kv_bytes))


def pool_bytes(lines: Iterable[Line]) -> int:
    """Return the bytes that the largest of some lines takes."""
    return max(2 * _padded(line) * copies_of(line) for line in lines)


class Pool:
    """Memory for the caches of any line, filled with random values once for each element type.

    Parameters
    ----------
    gpu : Gpu
        Where.
    nbytes : int
        How much.

    Raises
    ------
    InvalidArgumentError
        If there is not so much.
    """

    def __init__(self, gpu: Gpu, nbytes: int) -> None:
        free, _ = gpu.torch.cuda.mem_get_info()
        if nbytes > _MOST_OF_MEMORY * free:
            raise InvalidArgumentError(
                f"the caches in rotation need {nbytes / 1e9:.1f} GB; "
                f"{free / 1e9:.1f} GB of the GPU's memory are free"
            )
        self._gpu = gpu
        self._filled: DType | None = None
        self.memory = gpu.torch.empty(nbytes, dtype=gpu.torch.uint8, device=gpu.device)

    def fill(self, dtype: DType) -> None:
        """Fill the memory with standard normal values of a type, unless it holds them already."""
        if self._filled is dtype:
            return
        generator = self._gpu.torch.Generator(device=self._gpu.device).manual_seed(_SEED)
        for part in self.memory.view(self._gpu.element(dtype)).split(_CHUNK):
            part.normal_(generator=generator)
        self._filled = dtype


@dataclass(frozen=True, slots=True)
class Scene:
    """The arrays of one line.

    Attributes
    ----------
    gpu : Gpu
        Where they are.
    line : Line
        Their shape.
    q : tensor ``[batch, q_heads, head_dim]``
        Queries.
    k, v : list of tensor
        One per copy, ``[batch, tokens, kv_heads, head_dim]`` or
        ``[num_pages, page_size, kv_heads, head_dim]``.
    kv_len : int32 tensor ``[batch]``
        Lengths.
    page_table : int32 tensor ``[batch, pages]`` or None
        A random permutation of all pages; the entries that no token uses are 0.
    page_ids : int32 tensor or None
        The entries in use, sequence after sequence.
    """

    gpu: Gpu
    line: Line
    q: Any
    k: list[Any] = field(repr=False)
    v: list[Any] = field(repr=False)
    kv_len: Any = field(repr=False)
    page_table: Any = field(repr=False)
    page_ids: Any = field(repr=False)

    @property
    def copies(self) -> int:
        """Copies of the cache."""
        return len(self.k)

    @property
    def linear_bytes(self) -> int:
        """Bytes from the start of a copy's k to the end of its v."""
        v = self.v[0]
        return int(v.data_ptr() - self.k[0].data_ptr() + v.numel() * v.element_size())

    def new_output(self) -> Any:
        """Return memory for an output, ``[batch, q_heads, head_dim]``."""
        return self.gpu.torch.empty_like(self.q)

    def rows(self, cache: Any, sequence: int, head: int) -> Any:
        """Return the live rows ``[length, head_dim]`` of a sequence and KV head in float64."""
        length = self.line.kv_lens[sequence]
        if self.page_table is None:
            return cache[sequence, :length, head].double()
        pages = self.page_table[sequence, : self.line.pages[sequence]].long()
        return cache[:, :, head][pages].reshape(-1, cache.shape[-1])[:length].double()


def _page_table(line: Line) -> tuple[Any, Any]:
    """Return the table and the entries in use, in host memory."""
    ids = np.random.default_rng(_SEED).permutation(sum(line.pages)).astype(np.int32)
    table = np.zeros((line.case.batch, max(line.pages)), np.int32)
    start = 0
    for row, count in zip(table, line.pages, strict=True):
        row[:count] = ids[start : start + count]
        start += count
    return table, ids


def make_scene(gpu: Gpu, pool: Pool, line: Line) -> Scene:
    """Lay the copies of a line's cache into the pool, and make its small arrays."""
    torch, shape = gpu.torch, line.cache_shape
    pool.fill(line.dtype)
    half, padded = math.prod(shape) * line.dtype.itemsize, _padded(line)

    def cache(start: int) -> Any:
        return pool.memory[start : start + half].view(gpu.element(line.dtype)).view(shape)

    def device(array: Any) -> Any:
        return torch.from_numpy(array).to(gpu.device)

    table, ids = _page_table(line) if line.page_size else (None, None)
    starts = range(0, 2 * padded * copies_of(line), 2 * padded)
    case = line.case
    generator = torch.Generator(device=gpu.device).manual_seed(_SEED + 1)
    return Scene(
        gpu=gpu,
        line=line,
        q=torch.randn(
            (case.batch, case.q_heads, case.head_dim),
            dtype=gpu.element(line.dtype),
            device=gpu.device,
            generator=generator,
        ),
        k=[cache(start) for start in starts],
        v=[cache(start + padded) for start in starts],
        kv_len=device(np.array(line.kv_lens, np.int32)),
        page_table=None if table is None else device(table),
        page_ids=None if ids is None else device(ids),
    )
