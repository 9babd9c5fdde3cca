"""Timing: a CUDA graph with one launch for each copy of the cache, replayed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flashdec.bench.cuda.gpu import Gpu

__all__ = ["Captured", "capture"]

Run = Callable[[int], Any]


class Captured:
    """A captured graph; make one with `capture`."""

    def __init__(self, gpu: Gpu, graph: Any, launches: int, result: Any, run: Run) -> None:
        self._gpu = gpu
        self._run = run  # keeps alive what the graph reads and writes
        self._graph = graph
        self._launches = launches
        self._start, self._end = (gpu.torch.cuda.Event(enable_timing=True) for _ in range(2))
        self.result = result

    def seconds(self) -> float:
        """Replay twice and return what a launch of the second replay took.

        While the GPU is busy with the first, the host enqueues the second, so that no waiting for
        the host is part of the time.
        """
        self._graph.replay()
        self._start.record()
        self._graph.replay()
        self._end.record()
        self._end.synchronize()
        return float(self._start.elapsed_time(self._end)) * 1e-3 / self._launches

    def computed(self) -> Any:
        """Replay over an output of NaN and return it: what the last launch of a replay wrote."""
        self.result.fill_(float("nan"))
        self._graph.replay()
        self._gpu.stream.synchronize()
        return self.result


def capture(gpu: Gpu, run: Run, copies: int) -> Captured:
    """Run once outside a graph, so that what is lazy happens there, and capture a graph.

    Parameters
    ----------
    gpu : Gpu
        Whose stream is the current one.
    run : callable
        ``run(i)`` enqueues the work over copy ``i`` and returns the output, or None.
    copies : int
        Launches in the graph.
    """
    run(0)
    gpu.stream.synchronize()
    graph = gpu.torch.cuda.CUDAGraph()
    result, failure = None, None
    try:
        with gpu.torch.cuda.graph(graph, stream=gpu.stream):
            try:
                for copy in range(copies):
                    result = run(copy)
            except Exception as error:
                failure = error
                raise
    except Exception as error:
        raise failure or error from None  # not what ending a broken capture says
    return Captured(gpu, graph, copies, result, run)
