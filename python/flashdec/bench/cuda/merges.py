"""Merging partial results: launches one after another, over more parts than L2 holds."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import json
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from flashdec.bench.cuda.gpu import Gpu, reason_of
from flashdec.bench.cuda.replay import Captured, capture
from flashdec.dtypes import DType
from flashdec.merge import merge

__all__ = ["MERGE_LINES", "MergeLine", "MergeResult", "measure_merge", "merges_to_json"]

_LEAST_COPIES = 8
_ROUNDS = 7
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
class MergeResult:
    """Medians of a line.

    Attributes
    ----------
    line : MergeLine
        What was merged.
    us : float
        `flashdec.merge`, a launch.
    error : float
        Its largest distance from a merge in float64, where results are about 1.
    flashinfer_us : float or None
        FlashInfer's ``merge_states`` on the same values; None where it was not asked.
    failure : str
        Why FlashInfer has no time, if it was asked.
    """

    line: MergeLine
    us: float
    error: float
    flashinfer_us: float | None = None
    failure: str = ""

    @property
    def gb_per_s(self) -> float:
        """Bytes that a merge reads and writes at least, by its time."""
        return self.line.nbytes / self.us * 1e-3


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

    count = max(_LEAST_COPIES, -(-gpu.cleared_bytes // line.nbytes))
    return [_Copy(*parts(), *outputs()) for _ in range(count)]


def _error(copy: _Copy) -> float:
    lse = copy.lse.double()
    weights = (lse - lse.amax(0)).exp()
    exact = (weights[..., None] * copy.o.double()).sum(0) / weights.sum(0)[..., None]
    return float((copy.out.double() - exact).abs().max())


def _capture_flashinfer(gpu: Gpu, copies: list[_Copy]) -> Captured:
    """Capture theirs: parts behind the batch, logarithms to the base 2."""
    flashinfer = importlib.import_module("flashinfer")
    moved = [
        (
            copy.o.transpose(0, 1).contiguous(),
            (copy.lse.float() * _LOG2_E).transpose(0, 1).contiguous(),
        )
        for copy in copies
    ]
    return capture(gpu, lambda i: flashinfer.merge_states(*moved[i])[0], len(moved))


def _forget_error(gpu: Gpu) -> None:
    """Let torch find the error that a refused launch has left behind: the next call would raise."""
    with contextlib.suppress(RuntimeError):
        gpu.torch.zeros(1, device=gpu.device)


def measure_merge(gpu: Gpu, line: MergeLine, peers: bool) -> MergeResult:
    """Measure a line: medians of 7 replays, the contenders by turns.

    Parameters
    ----------
    gpu : Gpu
        Whose stream is the current one.
    line : MergeLine
        What is merged.
    peers : bool
        Whether FlashInfer is measured too, if it is installed.
    """
    copies = _copies(gpu, line)

    def ours(i: int) -> Any:
        copy = copies[i]
        return merge(copy.o, copy.lse, out=copy.out, lse_out=copy.lse_out)[0]

    contenders = [capture(gpu, ours, len(copies))]
    contenders[0].computed()
    error = _error(copies[-1])
    failure = ""
    if peers and importlib.util.find_spec("flashinfer") is None:
        failure = "flashinfer is not installed"
    elif peers:
        try:
            contenders.append(_capture_flashinfer(gpu, copies))
        except Exception as raised:  # theirs: whatever it is, ours is measured
            failure = f"flashinfer: {reason_of(raised)}"
            _forget_error(gpu)
    times = [[each.seconds() * 1e6 for each in contenders] for _ in range(_ROUNDS)]
    us, *others = (median(column) for column in zip(*times, strict=True))
    return MergeResult(line, us, error, others[0] if others else None, failure)


def merges_to_json(gpu: Gpu, results: list[MergeResult]) -> str:
    """Return the results as a JSON document."""
    rows = [
        {**asdict(result), "line": {**asdict(result.line), "dtype": result.line.dtype.name}}
        for result in results
    ]
    return json.dumps({"gpu": gpu.to_dict(), "rounds": _ROUNDS, "merges": rows}, indent=2) + "\n"
