"""The attention of a decode step: flashdec over the paged cache."""

from __future__ import annotations

from time import perf_counter

import numpy as np

import flashdec

from .bf16 import F32, Bits, as_bfloat16, to_bits, to_float32
from .kv_cache import PagedCache
from .model import Llama
from .refusal import Refusal


class DecodeAttention:
    """One plan for every layer and step of a run, and a set of arguments per layer.

    All of it is made once. A step changes what the arrays hold (the query, the length, the page
    table, the cache) and never which arrays they are, so nothing is prepared again.

    Parameters
    ----------
    model, cache
        What the plan is for.
    threads
        That may take part; 0 for the library's choice.

    Attributes
    ----------
    kernel
        The name of the kernel that the plan chose.
    q, o
        Bits of the latest call's query and output, ``[1, q_heads, head_dim]``.
    seconds, bytes_read
        Time spent in flashdec and live bytes of cache it had to read, so far.
    """

    def __init__(self, model: Llama, cache: PagedCache, threads: int = 0) -> None:
        sizes = model.sizes
        descriptor = flashdec.Descriptor.new_gqa(
            batch=1,
            q_heads=sizes.q_heads,
            kv_heads=sizes.kv_heads,
            max_kv_len=cache.capacity,
            head_dim=sizes.head_dim,
            head_dim_v=sizes.head_dim_v,
            dtype="bfloat16",
            page_size=cache.page_size,
            num_pages=cache.num_pages,
        )
        preference = flashdec.PlanPreference(prefer_backend="cpu", num_threads=threads)
        try:
            self._plan = flashdec.Plan.select(descriptor, preference)
        except flashdec.UnsupportedError as error:
            raise Refusal(f"flashdec has no kernel for this model: {error}") from error
        self.kernel: str = self._plan.sku.name
        self._workspace = flashdec.Workspace.allocate(self._plan)
        self._cache = cache
        self.q: Bits = np.zeros((1, sizes.q_heads, sizes.head_dim), np.uint16)
        self.o: Bits = np.zeros((1, sizes.q_heads, sizes.head_dim_v), np.uint16)
        self._args = [
            flashdec.Args(
                q=as_bfloat16(self.q),
                k=as_bfloat16(keys),
                v=as_bfloat16(values),
                o=as_bfloat16(self.o),
                kv_len=cache.length,
                page_table=cache.page_table,
                layout="bshd",
            )
            for keys, values in zip(cache.keys, cache.values, strict=True)
        ]
        self._bytes_per_token = 2 * sizes.kv_heads * (sizes.head_dim + sizes.head_dim_v)
        self.seconds = 0.0
        self.bytes_read = 0

    def __call__(self, layer: int, q: F32) -> F32:
        """Attend with ``q [1, q_heads, head_dim]`` to all that the cache holds of ``layer``."""
        self.q[...] = to_bits(q)
        start = perf_counter()
        self._plan.run(self._args[layer], self._workspace)
        self.seconds += perf_counter() - start
        self.bytes_read += int(self._cache.length[0]) * self._bytes_per_token
        return to_float32(self.o)
