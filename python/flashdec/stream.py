"""CUDA streams of any library."""

from __future__ import annotations

import sys
from typing import Any, Protocol, runtime_checkable

from flashdec.errors import InvalidArgumentError

__all__ = ["WITH_STREAMS", "CudaStream", "stream_address", "stream_pointer"]

WITH_STREAMS = ("cupy", "torch")
"""Libraries that have a current stream."""

_LEGACY_STREAM = 1  # cudaStreamLegacy: the default stream by name


@runtime_checkable
class CudaStream(Protocol):
    """The stream protocol of CUDA Python: ``__cuda_stream__`` gives (version, address)."""

    def __cuda_stream__(self) -> tuple[int, int]:
        """Return the version of the protocol and the ``CUstream``."""
        ...


def stream_pointer(stream: Any) -> int:
    """Return the ``CUstream`` of a stream object.

    Parameters
    ----------
    stream : int, or object with ``__cuda_stream__``, ``cuda_stream``, ``ptr`` or ``handle``
        An address, or a stream of CUDA Python, PyTorch, CuPy or Numba.

    Raises
    ------
    InvalidArgumentError
        If it is none of these.
    """
    if isinstance(stream, int):
        return stream
    protocol = getattr(stream, "__cuda_stream__", None)  # isinstance with a Protocol is slow
    if protocol is not None:
        return int(protocol()[1])
    for attribute in ("cuda_stream", "ptr", "handle"):
        value = getattr(stream, attribute, None)
        if value is not None:
            return int(getattr(value, "value", value) or 0)  # Numba's is a ctypes pointer
    raise InvalidArgumentError(
        f"stream is of type {type(stream).__name__}; it must be an address or a CUDA stream object"
    )


def stream_address(stream: Any, device: str, library: str) -> int:
    """Return where the work goes: on a GPU never 0, which stands for no stream.

    Parameters
    ----------
    stream : stream object, int or None
        What the caller gave; None: the library's current one, or the default one if it has none.
    device : str
        ``"cpu"`` or ``"cuda:N"``.
    library : str
        The array library.
    """
    if device == "cpu":
        return 0 if stream is None else stream_pointer(stream)
    if stream is not None:
        return stream_pointer(stream) or _LEGACY_STREAM
    return _current_stream(library, int(device.partition(":")[2])) or _LEGACY_STREAM


def _current_stream(library: str, device: int) -> int:
    module = sys.modules.get(library)
    if library == "cupy" and module is not None:
        return int(module.cuda.get_current_stream(device).ptr)
    if library == "torch" and module is not None:
        return int(module.cuda.current_stream(device).cuda_stream)
    return 0
