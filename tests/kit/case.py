"""A case: everything that decides the arrays of one run, as one line that recreates it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

import flashdec

DTYPES = ("float32", "float16", "bfloat16")
STRIDES = ("packed", "padded", "aligned", "interleaved", "broadcast")
TILE = 32  # of the CPU kernels; boundaries near it are where kernels err


@dataclass(frozen=True)
class Case:
    """One problem and its data.

    ``lengths`` are those on the device; an int is passed as one length for all, None as none.
    ``page_size`` 0 is a cache without pages.  ``strides`` is how q, k, v, o lie in memory.
    """

    dtype: str = "float32"
    batch: int = 2
    kv_heads: int = 2
    group: int = 2
    head_dim: int = 64
    head_dim_v: int = 64
    capacity: int = 600
    lengths: Any = None
    page_size: int = 0
    layout: str = "bshd"
    strides: str = "packed"
    scale: float = 0.0
    lse: bool = True
    split_len: int = 0
    batch_invariant: bool = False
    base2: bool = False
    seed: int = 0

    @property
    def q_heads(self) -> int:
        return self.kv_heads * self.group

    @property
    def row_lengths(self) -> list[int]:
        """Tokens of each sequence."""
        if self.lengths is None:
            return [self.capacity] * self.batch
        if isinstance(self.lengths, int):
            return [self.lengths] * self.batch
        return list(self.lengths)

    @property
    def element(self) -> flashdec.DType:
        return flashdec.DType[self.dtype.upper()]

    def descriptor(self, num_pages: int, alignment: int) -> flashdec.Descriptor:
        return flashdec.Descriptor(
            batch=self.batch,
            q_heads=self.q_heads,
            kv_heads=self.kv_heads,
            max_kv_len=self.capacity,
            head_dim=self.head_dim,
            head_dim_v=self.head_dim_v,
            scale=self.scale,
            q_dtype=self.element,
            kv_dtype=self.element,
            page_size=self.page_size,
            num_pages=num_pages,
            alignment=alignment,
        )

    def preference(self, **more: Any) -> flashdec.PlanPreference:
        wishes = {"split_len": self.split_len, "batch_invariant": self.batch_invariant, **more}
        return flashdec.PlanPreference(**wishes)


def random_lengths(rng: np.random.Generator, batch: int, capacity: int) -> Any:
    kind = rng.integers(4)
    if kind == 0:
        return None
    if kind == 1:
        return int(rng.integers(capacity + 1))
    edges = [0, 1, capacity, TILE - 1, TILE, TILE + 1, 255, 256, 257]
    choices = [min(edge, capacity) for edge in edges]
    return tuple(
        int(rng.choice(choices)) if rng.random() < 0.5 else int(rng.integers(capacity + 1))
        for _ in range(batch)
    )


def random_case(seed: int) -> Case:
    """Draw a case; small ones mostly, so that thousands are quick."""
    rng = np.random.default_rng(seed)
    large = rng.random() < 0.05
    batch = int(rng.integers(1, 5))
    capacity = int(rng.integers(1, 3000 if large else 600))
    head_dim = int(rng.choice([int(rng.integers(1, 257)), 64, 128, 80, 96, 256]))
    same = rng.random() < 0.6
    return Case(
        dtype=str(rng.choice(DTYPES)),
        batch=batch,
        kv_heads=int(rng.choice([1, 2, 3, 8])) if not large else 1,
        group=int(rng.choice([1, 2, 3, 4, 5, 7, 8, 9, 16])),
        head_dim=head_dim,
        head_dim_v=head_dim if same else int(rng.integers(1, 257)),
        capacity=capacity,
        lengths=random_lengths(rng, batch, capacity),
        page_size=int(rng.choice([0, 0, 1, 2, 3, 7, 16, 17, 64, 256])),
        layout=str(rng.choice(["bshd", "bhsd"])),
        strides=str(rng.choice(STRIDES, p=[0.5, 0.1, 0.15, 0.15, 0.1])),
        scale=float(rng.choice([0.0, 0.0, 0.05, 1.0, -0.3])),
        lse=bool(rng.random() < 0.7),
        split_len=int(rng.choice([0, 0, 0, 1, 40, 128, 1000])),
        batch_invariant=bool(rng.random() < 0.3),
        base2=bool(rng.random() < 0.3),
        seed=seed,
    )
