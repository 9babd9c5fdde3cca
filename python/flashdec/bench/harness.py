"""From a case to results, on the CPU."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from flashdec.bench.accuracy import check_points, error_over_bound
from flashdec.bench.contenders import Contender, select_contenders
from flashdec.bench.probe import calibrate
from flashdec.bench.problem import check_fits, make_problem
from flashdec.bench.shapes import Case
from flashdec.bench.timing import ROUNDS, Entry, Timing, interleave
from flashdec.dtypes import DType

__all__ = ["Group", "Result", "Settings", "check", "measure", "samples_of"]


@dataclass(frozen=True, slots=True)
class Settings:
    """What is the same for every case.

    Attributes
    ----------
    dtype : DType
        Of q, k, v and o.
    layout : {"bshd", "bhsd"}
        The order of the axes of k and v.
    page_size : int
        Tokens in a page; 0 without pages.
    threads : tuple of int
        Numbers of threads to measure.
    compare : bool
        Whether to measure the other contenders that are installed.
    rotation_bytes : int
        Bytes to read before a byte is read again.
    rounds : int
        Interleaved pairs.
    """

    dtype: DType
    layout: str
    page_size: int
    threads: tuple[int, ...]
    compare: bool
    rotation_bytes: int
    rounds: int = ROUNDS


@dataclass(frozen=True, slots=True)
class Result:
    """What one contender took for one case.

    Attributes
    ----------
    contender : Contender
        Who.
    timing : Timing
        How long, beside the probe.
    error : float
        Largest error against float64 as a fraction of the bound that flashdec promises.
    """

    contender: Contender
    timing: Timing
    error: float


@dataclass(frozen=True, slots=True)
class Group:
    """One case with one number of threads.

    Attributes
    ----------
    case : Case
        The shape.
    threads : int
        That took part.
    probe, probe_threads : str, int
        How the probe read; see `flashdec.bench.probe`.
    results : tuple of Result
        flashdec first.
    left_out : dict
        Why a contender is missing, by name.
    """

    case: Case
    threads: int
    probe: str
    probe_threads: int
    results: tuple[Result, ...]
    left_out: dict[str, str]


def samples_of(settings: Settings) -> int:
    """Return how many samples a case takes at most: how often its harness advances."""
    contenders = len(select_contenders(settings.compare))
    return len(settings.threads) * contenders * settings.rounds


def check(case: Case, settings: Settings) -> None:
    """Refuse, before anything is measured, a case that cannot be."""
    check_fits(
        case,
        settings.dtype,
        layout=settings.layout,
        page_size=settings.page_size,
        rotation_bytes=settings.rotation_bytes,
    )


def measure(case: Case, settings: Settings, advance: Callable[[], None]) -> list[Group]:
    """Measure a case: a group per number of threads; ``advance()`` is called after every sample."""
    problem = make_problem(
        case,
        settings.dtype,
        layout=settings.layout,
        page_size=settings.page_size,
        rotation_bytes=settings.rotation_bytes,
    )
    checked = check_points(problem)
    candidates = select_contenders(settings.compare)
    reasons = {each.name: each.refuse(problem) for each in candidates}
    contenders = [each for each in candidates if not reasons[each.name]]
    left_out = {name: reason for name, reason in reasons.items() if reason}
    groups = []
    for threads in settings.threads:
        probe = calibrate(problem.memory, threads, problem.block_bytes)
        entries = [Entry(each.prepare(problem, threads), each.settle) for each in contenders]
        errors = [
            error_over_bound(problem, each.values(problem, entry.run(0)), checked)
            for each, entry in zip(contenders, entries, strict=True)
        ]
        timings = interleave(
            probe,
            entries,
            copies=problem.copies,
            read_bytes=problem.read_bytes,
            rounds=settings.rounds,
            advance=advance,
        )
        results = tuple(map(Result, contenders, timings, errors))
        groups.append(Group(case, threads, probe.kind, probe.threads, results, left_out))
    return groups
