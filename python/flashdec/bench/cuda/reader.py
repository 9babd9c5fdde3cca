"""The read kernels of ``read.cu``, compiled with NVRTC when a line is measured."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flashdec.bench.cuda.gpu import Gpu
from flashdec.bench.cuda.lines import Line
from flashdec.bench.cuda.replay import Captured, capture
from flashdec.bench.cuda.scene import Scene

__all__ = ["Grid", "Reader", "defines", "fastest"]

_SOURCE = Path(__file__).with_name("read.cu")
_VECTOR = 16  # bytes of a load
_FLIGHT = 8  # loads of a thread
_TRIALS = 3  # replays of every grid, before the fastest is measured

_NO_PAGES = "#define ROW 1\n#define HEADS 1\n#define PAGE 1\n"  # for kernels that read no pages

Run = Callable[[int], Any]


@dataclass(frozen=True, slots=True)
class Grid:
    """How the blocks of a read fill the multiprocessors.

    Attributes
    ----------
    threads : int
        In a block.
    blocks : int
        On each multiprocessor at most.
    """

    threads: int
    blocks: int


GRIDS = (Grid(128, 4), Grid(128, 8), Grid(256, 2), Grid(256, 4), Grid(512, 1), Grid(512, 2))


def defines(line: Line) -> str:
    """Return the sizes that are defined in front of ``read.cu`` for a line."""
    case = line.case
    sizes = {
        "ROW": max(1, case.head_dim * line.dtype.itemsize // _VECTOR),
        "HEADS": case.kv_heads,
        "PAGE": max(1, line.page_size),
    }
    return "".join(f"#define {name} {size}\n" for name, size in sizes.items())


class _Stream:
    """A stream of torch under the protocol of CUDA Python."""

    def __init__(self, stream: Any) -> None:
        self._handle = int(stream.cuda_stream)

    def __cuda_stream__(self) -> tuple[int, int]:
        """Return the version of the protocol and the ``CUstream``."""
        return 0, self._handle


class Reader:
    """Compiles and launches the read kernels.

    Parameters
    ----------
    gpu : Gpu
        Where they run.
    """

    def __init__(self, gpu: Gpu) -> None:
        self._gpu = gpu
        self._core: Any = importlib.import_module("cuda.core")
        self._device = self._core.Device(gpu.torch.cuda.current_device())
        self._device.set_current()
        self._stream = self._device.create_stream(_Stream(gpu.stream))
        self._sink = gpu.torch.zeros(1, dtype=gpu.torch.int32, device=gpu.device)
        self._compiled: dict[str, Any] = {}

    def _kernel(self, name: str, sizes: str) -> Any:
        if sizes not in self._compiled:
            options = self._core.ProgramOptions(std="c++17")
            program = self._core.Program(sizes + _SOURCE.read_text(), "c++", options)
            self._compiled[sizes] = program.compile("cubin")
        return self._compiled[sizes].get_kernel(name)

    def _launch(self, kernel: Any, vectors: int, grid: Grid, *arguments: int) -> None:
        needed = -(-vectors // (grid.threads * _FLIGHT))
        blocks = min(needed, grid.blocks * self._gpu.multiprocessors)
        config = self._core.LaunchConfig(grid=blocks, block=grid.threads)
        self._core.launch(self._stream, config, kernel, *arguments)

    def empty(self) -> Run:
        """Return a launch of a kernel that does nothing."""
        kernel = self._kernel("empty", _NO_PAGES)
        return lambda copy: self._launch(kernel, 1, Grid(32, 1))

    def linear(self, scene: Scene, grid: Grid) -> Run:
        """Return the read of a copy from end to end."""
        kernel = self._kernel("read_linear", _NO_PAGES)
        vectors, sink = scene.linear_bytes // _VECTOR, self._sink.data_ptr()
        starts = [k.data_ptr() for k in scene.k]
        return lambda copy: self._launch(kernel, vectors, grid, starts[copy], vectors, sink)

    def in_pages(self, scene: Scene, grid: Grid) -> Run:
        """Return the read of a copy in the order of its page table.

        Raises
        ------
        ValueError
            If a row is not a whole number of 16-byte vectors.
        """
        row_bytes = scene.line.case.head_dim * scene.line.dtype.itemsize
        if row_bytes % _VECTOR:
            raise ValueError(f"a row has {row_bytes} bytes; the read takes {_VECTOR} at a time")
        kernel = self._kernel("read_pages", defines(scene.line))
        vectors = 2 * sum(scene.line.pages) * scene.line.page_size * scene.line.row_bytes // _VECTOR
        ids, sink = scene.page_ids.data_ptr(), self._sink.data_ptr()
        starts = [(k.data_ptr(), v.data_ptr()) for k, v in zip(scene.k, scene.v, strict=True)]
        return lambda copy: self._launch(kernel, vectors, grid, *starts[copy], ids, vectors, sink)


def fastest(
    scene: Scene, read: Callable[[Scene, Grid], Run], clear_l2: Callable[[], None]
) -> tuple[Captured, str]:
    """Try every grid for a read; return the captured graph of the fastest, and which that was.

    Parameters
    ----------
    scene : Scene
        What is read.
    read : callable
        `Reader.linear` or `Reader.in_pages`.
    clear_l2 : callable
        Leaves nothing in L2 of the grid before.
    """

    def seconds(captured: Captured) -> float:
        clear_l2()
        return captured.seconds()

    trials = []
    for grid in GRIDS:
        captured = capture(scene.gpu, read(scene, grid), scene.copies)
        trials.append((min(seconds(captured) for _ in range(_TRIALS)), captured, grid))
    _, captured, grid = min(trials, key=lambda trial: trial[0])
    return captured, f"{grid.blocks} x {grid.threads} threads on an SM"
