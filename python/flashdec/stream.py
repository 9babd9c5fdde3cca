"""CUDA streams of any library."""

from __future__ import annotations

import sys
from typing import Any, Protocol, runtime_checkable

from flashdec.errors import InvalidArgumentError

__all__ = ["LEGACY_STREAM", "WITH_STREAMS", "CudaStream", "current_stream", "stream_pointer"]

WITH_STREAMS = ("cupy", "torch")
"""Libraries that have a current stream."""

LEGACY_STREAM = 1
"""The default stream by name, ``cudaStreamLegacy``: where 0 would mean the current one."""


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


def current_stream(library: str, device: int) -> int:
    """Return the current stream of an array library, 0 (the default stream) if it has none.

    Libraries with a DLPack exchange table (PyTorch) are asked through it, in C, instead.
    """
    module = sys.modules.get(library)
    if library == "cupy" and module is not None:
        return int(module.cuda.get_current_stream(device).ptr)
    if library == "torch" and module is not None:
        return int(module.cuda.current_stream(device).cuda_stream)
    return 0
