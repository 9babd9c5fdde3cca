"""Tensors of a decode step; whoever imports this is skipped where there is no PyTorch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

torch: Any = pytest.importorskip("torch")
ops: Any = pytest.importorskip("flashdec.torch", exc_type=ImportError)

BATCH, Q_HEADS, KV_HEADS, DIM, PAGE, WIDTH = 3, 8, 2, 64, 16, 5
CAPACITY = PAGE * WIDTH


@dataclass
class Step:
    """Queries, new rows and a cache, in pages or not."""

    q: Any
    k: Any
    v: Any
    cos: Any
    sin: Any
    k_cache: Any
    v_cache: Any
    kv_len: Any
    page_table: Any

    def rows(self) -> tuple[Any, ...]:
        """What append_rotary takes first."""
        return self.q, self.k, self.v, self.cos, self.sin


def make_step(device: str, paged: bool = False, dtype: Any = torch.bfloat16) -> Step:
    draw = torch.Generator().manual_seed(5)

    def rows(*shape: int) -> Any:
        return torch.randn(shape, generator=draw).to(device, dtype)

    blocks = (BATCH * WIDTH, PAGE) if paged else (BATCH, CAPACITY)
    table = torch.randperm(BATCH * WIDTH, generator=draw).view(BATCH, WIDTH).int().to(device)
    angles = torch.randn((CAPACITY, DIM // 2), generator=draw).to(device)
    return Step(
        rows(BATCH, Q_HEADS, DIM), rows(BATCH, KV_HEADS, DIM), rows(BATCH, KV_HEADS, DIM),
        angles.cos(), angles.sin(), rows(*blocks, KV_HEADS, DIM), rows(*blocks, KV_HEADS, DIM),
        torch.tensor([0, 17, CAPACITY - 2], dtype=torch.int32, device=device),
        table if paged else None,
    )  # fmt: skip


def decode_args(step: Step) -> tuple[Any, ...]:
    """Return what the operator decode takes of a step."""
    return step.q, step.k_cache, step.v_cache, step.kv_len, step.page_table
