"""How fast this machine reads memory: the yardstick beside every case.

The probe reads the very memory that the cases read, from end to end, each thread its own part.  A
reader must wait for memory and nothing else; of those that NumPy offers, these do:

``dot``
    Inner products of rows of 32 KiB by ``numpy.matmul``: two streams at once, one call for the
    whole part, rows short enough that no BLAS starts threads of its own.
``max``
    The largest of 32-bit integers by ``numpy.maximum.reduce``, for a NumPy without a fast BLAS.

`calibrate` measures both, and numbers of threads up to those of the case, and keeps the fastest.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from time import perf_counter

import numpy as np

from flashdec._storage import Array

__all__ = ["READERS", "Probe", "calibrate"]

_ROW = 4096  # elements of float64
_UNIT = 2 * 8 * _ROW  # bytes: a row of each of the two streams
_LEAST_SECONDS = 0.02  # of a reading, so that waking the threads does not count
_CALIBRATION_READINGS = 3


def _dot(part: Array) -> None:
    rows = part.view(np.float64).reshape(-1, _ROW)
    half = rows.shape[0] // 2
    np.matmul(rows[:half, None, :], rows[half:, :, None])


def _max(part: Array) -> None:
    np.maximum.reduce(part.view(np.int32))


READERS: dict[str, Callable[[Array], None]] = {"dot": _dot, "max": _max}


@dataclass(frozen=True, slots=True)
class Probe:
    """A linear reader of some memory.

    Attributes
    ----------
    memory : uint8 array
        What it reads; aligned to 64 bytes.
    reader : str
        Of `READERS`.
    threads : int
        That read at once.
    passes : int
        Times that a reading goes over the memory.
    """

    memory: Array
    reader: str
    threads: int
    passes: int
    _pool: ThreadPoolExecutor

    def read(self) -> float:
        """Read once; return bytes per second."""
        parts = _parts(self.memory, self.threads)
        read = READERS[self.reader]

        def work(part: Array) -> None:
            with np.errstate(all="ignore"):
                for _ in range(self.passes):
                    read(part)

        start = perf_counter()
        if self.threads == 1:
            work(parts[0])
        else:
            list(self._pool.map(work, parts))
        return self.passes * sum(part.nbytes for part in parts) / (perf_counter() - start)


def _parts(memory: Array, threads: int) -> list[Array]:
    """Cut memory into equal parts of whole units; less than a unit per thread is left over."""
    size = memory.nbytes // threads // _UNIT * _UNIT
    return [memory[i * size : (i + 1) * size] for i in range(threads)]


def _thread_counts(threads: int) -> list[int]:
    """All of them, and fewer where fewer may saturate the memory."""
    return sorted({threads, *(threads * part // 4 for part in (2, 3) if threads >= 4)})


def calibrate(memory: Array, threads: int) -> Probe:
    """Find the fastest way to read some memory with up to `threads` threads.

    Parameters
    ----------
    memory : uint8 array
        At least 64 KiB per thread, and for a true figure several times the last-level cache.
    threads : int
        The most that may read at once.
    """
    pool = ThreadPoolExecutor(threads, thread_name_prefix="flashdec-probe")
    best, best_rate = None, 0.0
    for count in _thread_counts(threads):
        for reader in READERS:
            probe = Probe(memory, reader, count, 1, pool)
            rate = max(probe.read() for _ in range(_CALIBRATION_READINGS))
            if rate > best_rate:
                best, best_rate = probe, rate
    assert best is not None
    passes = 1 + int(_LEAST_SECONDS * best_rate / memory.nbytes)
    return Probe(memory, best.reader, best.threads, passes, pool)
