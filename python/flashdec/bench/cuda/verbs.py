"""The verbs beside decode: launches one after another, over more memory than L2 holds."""

from __future__ import annotations

import contextlib
import importlib.util
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any, Protocol

from flashdec.bench.cuda.gpu import Gpu, reason_of
from flashdec.bench.cuda.replay import capture
from flashdec.dtypes import DType

__all__ = ["VerbLine", "VerbResult", "copies_for", "measure_verb", "verbs_to_json"]

_LEAST_COPIES = 8
_ROUNDS = 7

Run = Callable[[int], Any]


class VerbLine(Protocol):
    """What is measured."""

    @property
    def dtype(self) -> DType:
        """Of the elements."""
        ...

    @property
    def goal_us(self) -> float | None:
        """What it may take."""
        ...

    @property
    def nbytes(self) -> int:
        """What is read and written at least."""
        ...


@dataclass(frozen=True, slots=True)
class VerbResult:
    """Medians of a line.

    Attributes
    ----------
    line : VerbLine
        What was measured.
    us : float
        flashdec, a launch.
    error : float
        Its largest distance from float64, where results are about 1.
    flashinfer_us : float or None
        FlashInfer on the same values; None where it was not asked.
    failure : str
        Why FlashInfer has no time, if it was asked.
    """

    line: Any
    us: float
    error: float
    flashinfer_us: float | None = None
    failure: str = ""

    @property
    def gb_per_s(self) -> float:
        """Bytes that are read and written at least, by the time."""
        return float(self.line.nbytes / self.us * 1e-3)


def copies_for(gpu: Gpu, line: VerbLine) -> int:
    """Return how many copies of a line's arrays no cache holds."""
    return max(_LEAST_COPIES, -(-gpu.cleared_bytes // line.nbytes))


def _forget_error(gpu: Gpu) -> None:
    """Let torch find the error that a refused launch has left behind: the next call would raise."""
    with contextlib.suppress(RuntimeError):
        gpu.torch.zeros(1, device=gpu.device)


def measure_verb(
    gpu: Gpu,
    line: VerbLine,
    copies: int,
    ours: Run,
    error: Callable[[], float],
    theirs: Callable[[], Run] | None,
) -> VerbResult:
    """Measure a line: medians of 7 replays, the contenders by turns.

    Parameters
    ----------
    gpu : Gpu
        Whose stream is the current one.
    line : VerbLine
        What is measured.
    copies : int
        Launches of a replay, each over a copy of its own.
    ours : callable
        ``ours(i)`` enqueues the work over copy i and returns an output.
    error : callable
        Compares what the last copy's launch has left with float64.
    theirs : callable, optional
        Prepares FlashInfer's launches, if it is installed.
    """
    contenders = [capture(gpu, ours, copies)]
    contenders[0].computed()
    found = error()
    failure = ""
    if theirs is not None and importlib.util.find_spec("flashinfer") is None:
        failure = "flashinfer is not installed"
    elif theirs is not None:
        try:
            contenders.append(capture(gpu, theirs(), copies))
        except Exception as raised:  # theirs: whatever it is, ours is measured
            failure = f"flashinfer: {reason_of(raised)}"
            _forget_error(gpu)
    times = [[each.seconds() * 1e6 for each in contenders] for _ in range(_ROUNDS)]
    us, *others = (median(column) for column in zip(*times, strict=True))
    return VerbResult(line, us, found, others[0] if others else None, failure)


def verbs_to_json(gpu: Gpu, name: str, results: list[VerbResult]) -> str:
    """Return the results as a JSON document, a list of this name."""
    rows = [
        {**asdict(result), "line": {**asdict(result.line), "dtype": result.line.dtype.name}}
        for result in results
    ]
    return json.dumps({"gpu": gpu.to_dict(), "rounds": _ROUNDS, name: rows}, indent=2) + "\n"
