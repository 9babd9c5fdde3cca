"""A GPU that is only pretended: CPU tensors.

Graphs and read kernels are stand-ins; the memory of lines, the contenders, the comparison with
float64 and the report are real.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from flashdec.bench.cuda import measure, scene, verbs
from flashdec.bench.cuda.contenders import VARIANTS
from flashdec.bench.cuda.gpu import Gpu
from flashdec.bench.cuda.scene import Scene


class PretendedCuda:
    """What the harness asks of torch.cuda."""

    @staticmethod
    def mem_get_info() -> tuple[int, int]:
        return 2**30, 2**30

    @staticmethod
    def synchronize() -> None:
        pass

    @staticmethod
    def current_device() -> int:
        return 0


class PretendedStream:
    cuda_stream = 0

    @staticmethod
    def synchronize() -> None:
        pass


class PretendedTorch:
    cuda = PretendedCuda

    def __getattr__(self, name: str) -> Any:
        return getattr(importlib.import_module("torch"), name)


class PretendedGpu(Gpu):
    @contextmanager
    def at_work(self) -> Iterator[None]:
        yield


class Replayed:
    """A graph that runs again instead."""

    def __init__(self, run: Callable[[int], Any], copies: int, us: float) -> None:
        self.run, self.copies, self.us = run, copies, us
        self.result = self.computed()

    def seconds(self) -> float:
        return self.us * 1e-6

    def computed(self) -> Any:
        for copy in range(self.copies):
            result = self.run(copy)
        return result


class PretendedReader:
    """Reads that take no time to write."""

    def __init__(self, gpu: Gpu) -> None:
        pass

    def empty(self) -> Callable[[int], None]:
        return lambda copy: None

    def linear(self, scene: Scene, grid: Any) -> Callable[[int], None]:
        return lambda copy: None

    in_pages = linear


def pretend(monkeypatch: pytest.MonkeyPatch) -> Gpu:
    """Put the stand-ins in their places and return the GPU."""

    def capture(gpu: Gpu, run: Callable[[int], Any], copies: int) -> Replayed:
        return Replayed(run, copies, 20.0)

    def fastest(scene: Scene, read: Any, clear_l2: Callable[[], None]) -> tuple[Replayed, str]:
        return Replayed(read(scene, None), 1, 10.0), "a grid"

    monkeypatch.setattr(scene, "ROTATION_BYTES", 2**19)
    monkeypatch.setattr(measure, "Reader", PretendedReader)
    monkeypatch.setattr(measure, "fastest", fastest)
    monkeypatch.setattr(measure, "capture", capture)
    monkeypatch.setattr(verbs, "capture", capture)
    for name, variant in VARIANTS.items():
        on_cpu = replace(variant.preference, prefer_backend="cpu", num_threads=1)
        monkeypatch.setitem(VARIANTS, name, replace(variant, preference=on_cpu))
    return PretendedGpu(PretendedTorch(), "cpu", PretendedStream, "NVIDIA H100", 132, 64, 2**30, "")
