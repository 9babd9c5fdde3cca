"""What a call of ``flashdec.torch`` costs the host, beside what PyTorch's own operators do.

One sequence, 4,000 tokens in pages of 16, 32 / 8 heads, head_dim 128; a prepared workspace.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from functools import partial
from statistics import median
from typing import Any

from flashdec.bench.cuda.gpu import Gpu
from flashdec.bench.cuda.overhead import block_us

__all__ = ["measure_torch_overhead"]

_Q_HEADS, _KV_HEADS, _DIM, _PAGE, _CAPACITY, _TOKENS = 32, 8, 128, 16, 4096, 4000


def measure_torch_overhead(gpu: Gpu, blocks: int = 60) -> dict[str, float]:
    """Return medians in microseconds, by the name of the call, of interleaved blocks."""
    torch = gpu.torch
    with torch.no_grad():
        calls = _calls(gpu)
        times: dict[str, list[float]] = {name: [] for name in calls}
        for _ in range(blocks):
            for name, call in calls.items():
                times[name].append(block_us(gpu, call))
    return {name: median(kept) for name, kept in times.items()}


def _calls(gpu: Gpu) -> dict[str, Callable[[], Any]]:
    torch = gpu.torch
    ops: Any = importlib.import_module("flashdec.torch")
    more = {"dtype": torch.bfloat16, "device": gpu.device}
    cache = ops.KVCache(
        layers=1, batch=1, capacity=_CAPACITY, q_heads=_Q_HEADS, kv_heads=_KV_HEADS,
        head_dim=_DIM, page_size=_PAGE, **more,
    )  # fmt: skip
    cache.extend(_TOKENS)
    cache.advance(0)
    cache._tokens = 1
    q = torch.randn((1, _Q_HEADS, _DIM), **more)
    rows = torch.randn((1, _KV_HEADS, _DIM), **more)
    cos = torch.randn((_CAPACITY, _DIM // 2), device=gpu.device)
    o = torch.randn((2, 1, _Q_HEADS, _DIM), **more)
    lse = torch.randn((2, 1, _Q_HEADS), device=gpu.device)
    k, v, lengths, table = cache.k[0], cache.v[0], cache.kv_len, cache.page_table
    verbs = torch.ops.flashdec
    prepared = cache.workspace
    places = {"page_table": table}

    def in_a_step(write: Callable[[], Any]) -> Callable[[], Any]:
        def call() -> None:
            cache._waiting.add(0)  # as `extend` does once for all layers
            write()

        return call

    return {
        "empty call": lambda: None,
        "torch.empty_like": partial(torch.empty_like, q),
        "torch.mul": partial(torch.mul, q, 2),
        "decode": partial(
            ops.decode, q, k, v, kv_len=lengths, page_table=table, workspace=prepared
        ),
        "append": partial(ops.append, rows, rows, k, v, lengths, **places),
        "append_rotary": partial(
            ops.append_rotary, q, rows, rows, cos, cos, k, v, lengths, **places
        ),
        "merge": partial(ops.merge, o, lse),
        "KVCache.decode": partial(cache.decode, 0, q),
        "KVCache.append": in_a_step(partial(cache.append, 0, rows, rows)),
        "KVCache.append_rotary": in_a_step(
            partial(cache.append_rotary, 0, q, rows, rows, cos, cos)
        ),
        "KVCache.attend (both)": in_a_step(partial(cache.attend, 0, q, rows, rows, cos, cos)),
        "ops.flashdec.decode": partial(verbs.decode.default, q, k, v, lengths, table, prepared),
        "ops.flashdec.append": partial(verbs.append.default, rows, rows, k, v, lengths, table),
        "ops.flashdec.append_rotary": partial(
            verbs.append_rotary.default, q, rows, rows, cos, cos, k, v, lengths, table
        ),
        "ops.flashdec.merge": partial(verbs.merge.default, o, lse),
    }
