"""A growing paged key/value cache in bfloat16."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from .bf16 import F32, Bits, to_bits, to_float32
from .hyperparameters import Hyperparameters

# A bfloat16 NaN. Slots that hold no token yet are full of it, so that a library that looked at
# one would give itself away at once.
_POISON = np.uint16(0xFFFF)


class PagedCache:
    """Keys and values of one sequence, for every layer.

    Pages are taken one at a time from a shuffled free list, as on a server where other sequences
    come and go, so neighbouring tokens really lie in pages far apart. A page id stands for the same
    page of every layer, so one table serves them all.

    Parameters
    ----------
    sizes
        The model's.
    capacity
        The most tokens it will ever hold.
    page_size
        Tokens in a page.
    seed
        Of the shuffle.

    Attributes
    ----------
    keys, values
        Per layer, ``[num_pages, page_size, kv_heads, head_dim]``: bfloat16 as bits.
    page_table
        ``[1, pages]`` int32; entries not in use yet are -1, which is no page.
    length
        ``[1]`` int32, the tokens held.
    """

    def __init__(
        self, sizes: Hyperparameters, capacity: int, *, page_size: int = 16, seed: int = 0
    ) -> None:
        pages = -(-capacity // page_size)
        # A quarter more than one sequence can use: on a server the pool is shared.
        self.num_pages = pages + pages // 4 + 1
        self.page_size = page_size
        self.capacity = capacity
        shape = (self.num_pages, page_size, sizes.kv_heads)
        self.keys: list[Bits] = [
            np.full((*shape, sizes.head_dim), _POISON) for _ in range(sizes.layers)
        ]
        self.values: list[Bits] = [
            np.full((*shape, sizes.head_dim_v), _POISON) for _ in range(sizes.layers)
        ]
        self.page_table = np.full((1, pages), -1, np.int32)
        self.length = np.zeros(1, np.int32)
        self._free = np.random.default_rng(seed).permutation(self.num_pages).tolist()

    def extend(self, tokens: int) -> npt.NDArray[np.int64]:
        """Make room for ``tokens`` more and return their positions."""
        start = int(self.length[0])
        end = start + tokens
        if end > self.capacity:
            raise ValueError(f"{end} tokens do not fit a cache made for {self.capacity}")
        for page in range(-(-start // self.page_size), -(-end // self.page_size)):
            self.page_table[0, page] = self._free.pop()
        self.length[0] = end
        return np.arange(start, end)

    def write(self, layer: int, positions: npt.NDArray[np.int64], k: F32, v: F32) -> None:
        """Round the rows of one layer to bfloat16 and store them at ``positions``."""
        page = self.page_table[0, positions // self.page_size]
        slot = positions % self.page_size
        self.keys[layer][page, slot] = to_bits(k)
        self.values[layer][page, slot] = to_bits(v)

    def read(self, layer: int) -> tuple[F32, F32]:
        """All live keys and values of one layer, in order: ``[tokens, kv_heads, …]`` float32."""
        tokens = int(self.length[0])
        pages = self.page_table[0, : -(-tokens // self.page_size)]
        k, v = self.keys[layer][pages], self.values[layer][pages]
        return (
            to_float32(k.reshape(-1, *k.shape[2:])[:tokens]),
            to_float32(v.reshape(-1, *v.shape[2:])[:tokens]),
        )
