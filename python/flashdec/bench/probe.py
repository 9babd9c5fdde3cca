"""How fast this machine reads memory: the yardstick beside every case.

The probe reads the very memory that the cases read, each thread its own part, by `flashdec_probe`:

``linear``
    From end to end, as two streams side by side.
``blocks of n``
    Blocks of n bytes in random order, as a cache of pages is read; the block some places further
    on is prefetched meanwhile.

`calibrate` tries distances of prefetching, and numbers of threads up to those of the case, and
keeps the fastest.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from time import perf_counter

import numpy as np

from flashdec import _abi
from flashdec._storage import Array

__all__ = ["Probe", "calibrate"]

_UNIT = 4096  # bytes: what linear parts are multiples of
_LEAST_BLOCK = 256  # bytes, of flashdec_probe
_LEAST_SECONDS = 0.02  # of a reading, so that waking the threads does not count
_CALIBRATION_READINGS = 3
_AHEAD_BYTES = (0, 4096, 16384, 65536)  # distances that are tried
_read = _abi.bind("flashdec_probe")


@dataclass(frozen=True, slots=True)
class Probe:
    """A reader of some memory.

    Attributes
    ----------
    memory : uint8 array
        What it reads; aligned to 64 bytes.
    block_bytes : int
        Of the blocks that it reads in random order; 0: it reads from end to end.
    ahead : int
        Blocks between reading and prefetching.
    threads : int
        That read at once.
    passes : int
        Times that a reading goes over the memory.
    """

    memory: Array
    block_bytes: int
    ahead: int
    threads: int
    passes: int
    _pool: ThreadPoolExecutor
    _parts: tuple[Array, ...]  # the numbers of each thread's blocks

    @property
    def kind(self) -> str:
        """What it does, for people."""
        return f"blocks of {self.block_bytes}" if self.block_bytes else "linear"

    def read(self) -> float:
        """Read once; return bytes per second."""
        size = self.block_bytes or _UNIT

        def work(blocks: Array) -> None:
            if self.block_bytes:
                memory, order = self.memory.ctypes.data, blocks.ctypes.data
            else:
                memory, order = self.memory.ctypes.data + int(blocks[0]) * size, None
            for _ in range(self.passes):
                _abi.check(_read(memory, order, len(blocks), size, self.ahead))

        start = perf_counter()
        if self.threads == 1:
            work(self._parts[0])
        else:
            list(self._pool.map(work, self._parts))
        count = sum(len(part) for part in self._parts)
        return self.passes * count * size / (perf_counter() - start)


def _parts(memory: Array, block_bytes: int, threads: int) -> tuple[Array, ...]:
    """Deal blocks out, as many to each thread; what is less than one for each is left over."""
    count = memory.nbytes // (block_bytes or _UNIT) // threads * threads
    order = np.arange(count, dtype=np.int32)
    if block_bytes:
        np.random.default_rng(0).shuffle(order)
    return tuple(np.ascontiguousarray(part) for part in np.split(order, threads))


def _thread_counts(threads: int) -> list[int]:
    """All of them, and fewer where fewer may saturate the memory."""
    return sorted({threads, *(threads * part // 4 for part in (2, 3) if threads >= 4)})


def calibrate(memory: Array, threads: int, block_bytes: int = 0) -> Probe:
    """Find the fastest way to read some memory with up to `threads` threads.

    Parameters
    ----------
    memory : uint8 array
        At least 64 KiB per thread, and for a true figure several times the last-level cache.
    threads : int
        The most that may read at once.
    block_bytes : int
        Of blocks in random order; 0, or what is no multiple of 256: from end to end.
    """
    if block_bytes % _LEAST_BLOCK:
        block_bytes = 0
    distances = {-(-ahead // (block_bytes or _UNIT)) for ahead in _AHEAD_BYTES}
    pool = ThreadPoolExecutor(threads, thread_name_prefix="flashdec-probe")
    best, best_rate = None, 0.0
    for count in _thread_counts(threads):
        parts = _parts(memory, block_bytes, count)
        for ahead in sorted(distances):
            probe = Probe(memory, block_bytes, ahead, count, 1, pool, parts)
            rate = max(probe.read() for _ in range(_CALIBRATION_READINGS))
            if rate > best_rate:
                best, best_rate = probe, rate
    assert best is not None
    passes = 1 + int(_LEAST_SECONDS * best_rate / memory.nbytes)
    return Probe(memory, block_bytes, best.ahead, best.threads, passes, pool, best._parts)
