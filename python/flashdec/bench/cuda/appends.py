"""Appending new tokens to a cache, with rotary position embedding, measured.

Nothing is in L2: not the new rows, not where they go, neither lengths, page tables nor angles.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from flashdec.append import append
from flashdec.bench.cuda.gpu import Gpu
from flashdec.bench.cuda.verbs import VerbResult, copies_for, measure_verb
from flashdec.dtypes import DType

__all__ = ["APPEND_LINES", "AppendLine", "measure_append"]

_MAX_KV_LEN = 4096
_CAPACITY = 64  # of a cache without pages: whole ones would not fit so many times
_GROWTH = 48  # tokens that are left free, for replays whose lengths advance
_THETA = 10000.0


@dataclass(frozen=True, slots=True)
class AppendLine:
    """An append that is measured: `tokens` new ones of each sequence."""

    batch: int
    q_heads: int
    kv_heads: int
    head_dim: int
    tokens: int = 1
    page_size: int = 16
    dtype: DType = DType.BFLOAT16
    advance: bool = False
    goal_us: float | None = None

    def __str__(self) -> str:
        shape = f"{self.batch} x {self.tokens}, {self.q_heads}, {self.kv_heads}, {self.head_dim}"
        pages = f" page {self.page_size}" if self.page_size else ""
        advance = " advance" if self.advance else ""
        return f"{shape} {self.dtype.name.lower()}{pages}{advance}"

    @property
    def nbytes(self) -> int:
        """What is read and written at least."""
        rows = self.batch * self.tokens
        moved = (self.q_heads + 2 * self.kv_heads) * self.head_dim * self.dtype.itemsize
        return rows * (2 * moved + 4 * self.head_dim) + 8 * self.batch  # and cos, sin; two words


APPEND_LINES = (
    AppendLine(256, 32, 8, 128, goal_us=5.0),
    AppendLine(256, 32, 8, 128, page_size=0, goal_us=5.0),
    AppendLine(256, 32, 8, 128, advance=True, goal_us=5.0),
    AppendLine(256, 32, 8, 128, dtype=DType.FLOAT32),
    AppendLine(1, 32, 8, 128),
    AppendLine(32, 32, 8, 128),
    AppendLine(64, 32, 8, 128, tokens=4),
    AppendLine(1, 32, 8, 128, tokens=2048),
)


@dataclass(frozen=True, slots=True)
class _Copy:
    q: Any
    k: Any
    v: Any
    q_out: Any
    k_cache: Any
    v_cache: Any
    kv_len: Any
    page_table: Any  # None without pages
    cos: Any
    sin: Any


def _angles(gpu: Gpu, line: AppendLine) -> tuple[Any, Any]:
    torch, half = gpu.torch, line.head_dim // 2
    steps = torch.arange(half, device=gpu.device, dtype=torch.float64) / half
    positions = torch.arange(_MAX_KV_LEN, device=gpu.device, dtype=torch.float64)
    angles = positions[:, None] * _THETA**-steps
    return angles.cos().float(), angles.sin().float()


def _copies(gpu: Gpu, line: AppendLine) -> list[_Copy]:
    torch, element = gpu.torch, gpu.element(line.dtype)
    generator = torch.Generator(device=gpu.device).manual_seed(1)

    def values(heads: int) -> Any:
        shape = (line.batch, line.tokens, heads, line.head_dim)
        return torch.randn(shape, device=gpu.device, generator=generator).to(element)

    capacity = _MAX_KV_LEN if line.page_size else max(_CAPACITY, line.tokens + _GROWTH)
    most = capacity - line.tokens - _GROWTH

    def one() -> _Copy:
        q, k, v = values(line.q_heads), values(line.kv_heads), values(line.kv_heads)
        table = None
        blocks, slots = line.batch, capacity
        if line.page_size:
            # A sequence writes to pages of its own, whatever its length: page i of all it has is
            # its (i modulo a few)th.
            width = capacity // line.page_size
            own = min(width, -(-line.tokens // line.page_size) + 1)
            blocks, slots = line.batch * own, line.page_size
            ids = torch.randperm(blocks, device=gpu.device, generator=generator)
            turn = torch.arange(width, device=gpu.device) % own
            table = ids.view(line.batch, own)[:, turn].to(torch.int32).contiguous()
        cache = (blocks, slots, line.kv_heads, line.head_dim)
        lengths = torch.randint(
            0, most + 1, (line.batch,), device=gpu.device, generator=generator
        ).to(torch.int32)
        return _Copy(
            q, k, v, torch.empty_like(q),
            torch.zeros(cache, dtype=element, device=gpu.device),
            torch.zeros(cache, dtype=element, device=gpu.device),
            lengths, table, *(each.clone() for each in _angles(gpu, line)),
        )  # fmt: skip

    return [one() for _ in range(copies_for(gpu, line))]


def _rotated(torch: Any, copy: _Copy, rows: Any, positions: Any) -> Any:
    cos, sin = (each.double()[positions][:, :, None] for each in (copy.cos, copy.sin))
    x, y = rows.double().chunk(2, dim=-1)
    return torch.cat((x * cos - y * sin, y * cos + x * sin), dim=-1)


def _error(gpu: Gpu, line: AppendLine, copy: _Copy) -> float:
    """Compare q_out and the rows in the cache with float64."""
    torch = gpu.torch
    first = copy.kv_len.long() - (line.tokens if line.advance else 0)
    positions = first[:, None] + torch.arange(line.tokens, device=gpu.device)
    blocks, slots = torch.arange(line.batch, device=gpu.device)[:, None], positions
    if copy.page_table is not None:
        blocks = copy.page_table.long().gather(1, positions // line.page_size)
        slots = positions % line.page_size
    pairs = (
        (copy.q_out, _rotated(torch, copy, copy.q, positions)),
        (copy.k_cache[blocks, slots], _rotated(torch, copy, copy.k, positions)),
        (copy.v_cache[blocks, slots], copy.v.double()),
    )
    return max(float((got.double() - want).abs().max()) for got, want in pairs)


def _flashinfer(gpu: Gpu, line: AppendLine, copies: list[_Copy]) -> Callable[[int], Any]:
    """Prepare theirs: the rotation in place, and then the append to pages, a launch each."""
    if not line.page_size:
        raise ValueError("it appends to pages only")
    torch = gpu.torch
    page, rope = (importlib.import_module(f"flashinfer.{name}") for name in ("page", "rope"))
    prepared = []
    for copy in copies:
        lengths = copy.kv_len + line.tokens
        steps = torch.arange(line.tokens, device=gpu.device, dtype=torch.int32)
        positions = (copy.kv_len[:, None] + steps).flatten().to(torch.int32)
        rows = torch.arange(line.batch, device=gpu.device, dtype=torch.int32)
        width = copy.page_table.shape[1]
        ends = torch.arange(line.batch + 1, device=gpu.device, dtype=torch.int32) * width
        prepared.append(
            (
                copy.q.flatten(0, 1).flatten(1).clone(), copy.k.flatten(0, 1).flatten(1).clone(),
                copy.v.flatten(0, 1), positions, rows.repeat_interleave(line.tokens),
                copy.page_table.flatten(), ends, ((lengths - 1) % line.page_size + 1).int(),
                torch.cat((copy.cos, copy.sin), dim=-1),
            )
        )  # fmt: skip

    def run(i: int) -> Any:
        q, k, v, positions, rows, ids, ends, last, angles = prepared[i]
        rope.apply_rope_with_cos_sin_cache_inplace(positions, q, k, line.head_dim, angles)
        page.append_paged_kv_cache(
            k.view(v.shape), v, rows, positions, (copies[i].k_cache, copies[i].v_cache),
            ids, ends, last,
        )  # fmt: skip
        return q

    return run


def measure_append(gpu: Gpu, line: AppendLine, peers: bool) -> VerbResult:
    """Measure a line, beside FlashInfer's rotation and append if `peers` is true."""
    copies = _copies(gpu, line)

    def ours(i: int) -> Any:
        copy = copies[i]
        return append(
            copy.k, copy.v, copy.k_cache, copy.v_cache, copy.kv_len, q=copy.q, q_out=copy.q_out,
            cos=copy.cos, sin=copy.sin, page_table=copy.page_table, advance=line.advance,
        )  # fmt: skip

    theirs = partial(_flashinfer, gpu, line, copies) if peers else None
    return measure_verb(gpu, line, len(copies), ours, lambda: _error(gpu, line, copies[-1]), theirs)
