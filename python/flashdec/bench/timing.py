"""Interleaved timing: every round reads with the probe, then runs every contender."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from time import perf_counter, sleep
from typing import Any

from flashdec.bench.probe import Probe

__all__ = ["ROUNDS", "Entry", "Sample", "Timing", "interleave"]

ROUNDS = 7
_SECONDS = 0.03  # of a sample, where one run is shorter
_MOST_RUNS = 20_000

Run = Callable[[int], Any]


@dataclass(frozen=True, slots=True)
class Entry:
    """What is timed.

    Attributes
    ----------
    run : callable
        ``run(i)`` computes copy ``i`` of the cache.
    settle : float
        Seconds to wait afterwards: the idle workers of a BLAS or of OpenMP spin for a while, and
        would take a processor from whoever is next.
    """

    run: Run
    settle: float


@dataclass(frozen=True, slots=True)
class Sample:
    """One pair of a round.

    Attributes
    ----------
    seconds : float
        Of one run.
    read_bandwidth : float
        Bytes per second that the probe of the same round read.
    """

    seconds: float
    read_bandwidth: float


@dataclass(frozen=True, slots=True)
class Timing:
    """What a contender took.

    Attributes
    ----------
    read_bytes : int
        Of K and V, per run.
    samples : tuple of Sample
        One per round.
    """

    read_bytes: int
    samples: tuple[Sample, ...]

    @property
    def seconds(self) -> float:
        """Median time of a run."""
        return median(sample.seconds for sample in self.samples)

    @property
    def us(self) -> float:
        """The same in microseconds to three places, which tables and documents round further."""
        return round(self.seconds * 1e6, 3)

    @property
    def bandwidth(self) -> float:
        """Bytes of K and V per second, at the median time."""
        return self.read_bytes / self.seconds

    @property
    def read_bandwidth(self) -> float:
        """Median bytes per second of the probe."""
        return median(sample.read_bandwidth for sample in self.samples)

    @property
    def fraction_of_read(self) -> float:
        """Median over the pairs of bandwidth / probed bandwidth."""
        return median(
            self.read_bytes / sample.seconds / sample.read_bandwidth for sample in self.samples
        )


class _Rotation:
    """Hands out copies of the cache in turn, so that none is read twice while it may be cached."""

    def __init__(self, copies: int) -> None:
        self._copies = copies
        self._next = 0

    def restart(self) -> None:
        """Begin again with the first copy: the probe has just read past it to the last one."""
        self._next = 0

    def time(self, run: Run, runs: int) -> float:
        """Run so many times after one run that does not count; return seconds per run."""
        copies = [(self._next + i) % self._copies for i in range(runs + 1)]
        self._next = (copies[-1] + 1) % self._copies
        run(copies[0])
        start = perf_counter()
        for copy in copies[1:]:
            run(copy)
        return (perf_counter() - start) / runs


def interleave(
    probe: Probe,
    entries: Sequence[Entry],
    *,
    copies: int,
    read_bytes: int,
    rounds: int = ROUNDS,
    advance: Callable[[], None] = lambda: None,
) -> list[Timing]:
    """Time contenders beside the probe.

    Parameters
    ----------
    probe : Probe
        Of the memory that holds the copies.
    entries : sequence of Entry
        In the order of a round.
    copies : int
        Of the cache.
    read_bytes : int
        Of K and V, per run.
    rounds : int
        Pairs; medians are taken over them.
    advance : callable
        Called after every sample.
    """
    rotation = _Rotation(copies)
    runs = []
    for entry in entries:
        once = rotation.time(entry.run, 1)
        runs.append(min(_MOST_RUNS, max(1, round(_SECONDS / once))))
    samples: list[list[Sample]] = [[] for _ in entries]
    sleep(max(entry.settle for entry in entries))
    for _ in range(rounds):
        bandwidth = probe.read()
        rotation.restart()
        for entry, count, kept in zip(entries, runs, samples, strict=True):
            kept.append(Sample(rotation.time(entry.run, count), bandwidth))
            sleep(entry.settle)
            advance()
    return [Timing(read_bytes, tuple(kept)) for kept in samples]
