"""Merging partial results, measured."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from flashdec.bench.cuda.gpu import Gpu
from flashdec.bench.cuda.verbs import VerbResult, copies_for, measure_verb
from flashdec.dtypes import DType
from flashdec.merge import merge

__all__ = ["MERGE_LINES", "MergeLine", "measure_merge"]

_LOG2_E = 1.4426950408889634


@dataclass(frozen=True, slots=True)
class MergeLine:
    """A merge that is measured; o of the parts is ``[parts, batch, heads, head_dim]``."""

    parts: int
    batch: int
    heads: int
    head_dim: int
    dtype: DType = DType.BFLOAT16
    packed: bool = False  # rows end with their lse, as an exchange between devices leaves them
    goal_us: float | None = None

    def __str__(self) -> str:
        packed = " packed" if self.packed else ""
        shape = f"{self.parts} x {self.batch}, {self.heads}, {self.head_dim}"
        return f"{shape} {self.dtype.name.lower()}{packed}"

    @property
    def nbytes(self) -> int:
        """What is read and written at least."""
        rows = self.batch * self.heads
        size = self.dtype.itemsize
        lse = size if self.packed else 4
        return rows * (self.parts * (self.head_dim * size + lse) + self.head_dim * size + 4)


MERGE_LINES = (
    MergeLine(8, 64, 32, 128, DType.FLOAT32, goal_us=6.5),
    MergeLine(8, 64, 32, 128, goal_us=5.0),
    MergeLine(8, 64, 32, 128, DType.FLOAT32, packed=True),
    MergeLine(16, 64, 32, 128),
    MergeLine(2, 64, 32, 128),
    MergeLine(4, 256, 32, 128),
    MergeLine(32, 1, 32, 128),
    MergeLine(8, 16, 128, 256),
)


@dataclass(frozen=True, slots=True)
class _Copy:
    o: Any
    lse: Any
    out: Any
    lse_out: Any


def _copies(gpu: Gpu, line: MergeLine) -> list[_Copy]:
    torch, element = gpu.torch, gpu.element(line.dtype)
    rows = (line.batch, line.heads)

    def parts() -> tuple[Any, Any]:
        if line.packed:
            shape = (line.parts, *rows, line.head_dim + 1)
            packed = torch.randn(shape, device=gpu.device).to(element)
            return packed[..., :-1], packed[..., -1]
        o = torch.randn((line.parts, *rows, line.head_dim), device=gpu.device)
        return o.to(element), torch.randn((line.parts, *rows), device=gpu.device)

    def outputs() -> tuple[Any, Any]:
        out = torch.empty((*rows, line.head_dim), dtype=element, device=gpu.device)
        return out, torch.empty(rows, dtype=torch.float32, device=gpu.device)

    return [_Copy(*parts(), *outputs()) for _ in range(copies_for(gpu, line))]


def _error(copy: _Copy) -> float:
    lse = copy.lse.double()
    weights = (lse - lse.amax(0)).exp()
    exact = (weights[..., None] * copy.o.double()).sum(0) / weights.sum(0)[..., None]
    return float((copy.out.double() - exact).abs().max())


def _flashinfer(copies: list[_Copy]) -> Callable[[int], Any]:
    """Prepare theirs: parts behind the batch, logarithms to the base 2."""
    flashinfer = importlib.import_module("flashinfer")
    moved = [
        (
            copy.o.transpose(0, 1).contiguous(),
            (copy.lse.float() * _LOG2_E).transpose(0, 1).contiguous(),
        )
        for copy in copies
    ]
    return lambda i: flashinfer.merge_states(*moved[i])[0]


def measure_merge(gpu: Gpu, line: MergeLine, peers: bool) -> VerbResult:
    """Measure a line, beside FlashInfer's ``merge_states`` if `peers` is true."""
    copies = _copies(gpu, line)

    def ours(i: int) -> Any:
        copy = copies[i]
        return merge(copy.o, copy.lse, out=copy.out, lse_out=copy.lse_out)[0]

    theirs = partial(_flashinfer, copies) if peers else None
    return measure_verb(gpu, line, len(copies), ours, lambda: _error(copies[-1]), theirs)
