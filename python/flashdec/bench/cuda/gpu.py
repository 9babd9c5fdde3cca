"""The GPU that a measurement runs on, as PyTorch shows it."""

from __future__ import annotations

import importlib
import importlib.util
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from flashdec.bench.shapes import DEFAULT_PRESET
from flashdec.dtypes import DType
from flashdec.errors import DeviceError, InvalidArgumentError

__all__ = ["Gpu", "open_gpu", "reason_of"]

_NEEDS = {
    "torch": "torch is not installed; bench takes the arrays of a GPU from it",
    "cuda.core": "cuda-core is not installed; `pip install flashdec[cuda]` brings it, "
    "and bench compiles its read kernels with it",
}
_INSTEAD = f"--preset {DEFAULT_PRESET} measures the processor"
_LONGEST_REASON = 160
_TIMES_L2 = 4
_USUAL_L2 = 64 * 2**20  # bytes, where torch does not say


@dataclass(frozen=True, slots=True)
class Gpu:
    """A GPU and the one stream on which everything is measured.

    Attributes
    ----------
    torch : module
        PyTorch.
    device : str
        For instance ``"cuda:0"``.
    stream : torch.cuda.Stream
        Everything is prepared, captured and replayed on it.
    name : str
        The model.
    multiprocessors : int
        How many.
    l2_bytes, memory_bytes : int
        Sizes.
    driver : str
        The driver's version; empty if nobody says.
    """

    torch: Any
    device: str
    stream: Any
    name: str
    multiprocessors: int
    l2_bytes: int
    memory_bytes: int
    driver: str

    @property
    def cleared_bytes(self) -> int:
        """What is zeroed between contenders: L2 holds nothing else then."""
        return _TIMES_L2 * (self.l2_bytes or _USUAL_L2)

    def element(self, dtype: DType) -> Any:
        """Return torch's name of an element type."""
        return getattr(self.torch, dtype.name.lower())

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Make the stream the current one, and let torch record no gradients."""
        with self.torch.cuda.stream(self.stream), self.torch.no_grad():
            yield

    def is_lost(self) -> bool:
        """Return whether an earlier launch broke the context: nothing works afterwards."""
        try:
            self.torch.cuda.synchronize()
        except RuntimeError:
            return True
        return False

    def to_dict(self) -> dict[str, Any]:
        """Return what identifies it."""
        return {
            "name": self.name,
            "multiprocessors": self.multiprocessors,
            "l2_bytes": self.l2_bytes,
            "memory_bytes": self.memory_bytes,
            "driver": self.driver,
        }


def _is_there(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ImportError:  # of the package around it
        return False


def _driver() -> str:
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.partition("\n")[0].strip()


def open_gpu() -> Gpu:
    """Return torch's current GPU.

    Raises
    ------
    InvalidArgumentError
        If a module is missing that the measurement needs.
    DeviceError
        If torch can use no GPU.
    """
    for module, sentence in _NEEDS.items():
        if not _is_there(module):
            raise InvalidArgumentError(f"{sentence}; {_INSTEAD}")
    torch: Any = importlib.import_module("torch")
    if not torch.cuda.is_available():
        raise DeviceError(f"torch can use no GPU here; {_INSTEAD}")
    index = torch.cuda.current_device()
    facts = torch.cuda.get_device_properties(index)
    return Gpu(
        torch=torch,
        device=f"cuda:{index}",
        stream=torch.cuda.Stream(),
        name=facts.name,
        multiprocessors=facts.multi_processor_count,
        l2_bytes=getattr(facts, "L2_cache_size", 0),
        memory_bytes=facts.total_memory,
        driver=_driver(),
    )


def reason_of(error: BaseException) -> str:
    """Return an exception as one short line for a report."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = f"{type(error).__name__}: {lines[0] if lines else 'without a message'}"
    return text if len(text) <= _LONGEST_REASON else text[: _LONGEST_REASON - 1] + "…"
