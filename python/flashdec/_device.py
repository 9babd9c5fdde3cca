"""What surrounds a call on arrays of another library: its current device and stream."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from typing import Any

from flashdec._library import device_context, synchronize_stream
from flashdec.stream import stream_pointer
from flashdec.tensor import reader_of

__all__ = ["finish_for_jax", "on_device"]


@contextlib.contextmanager
def on_device(array: Any, device: str, stream: Any) -> Iterator[None]:
    """Make the array's device, and the stream if one is given, its library's current ones.

    What is allocated meanwhile then belongs to the stream that uses it: the library's allocator
    hands it out again only behind our work.
    """
    if device == "cpu":
        yield
        return
    index = int(device.partition(":")[2])
    library = reader_of(array, "q").library
    if library not in ("torch", "cupy"):
        with device_context(index):
            yield
        return
    cuda = sys.modules[library].cuda
    with cuda.device(index) if library == "torch" else cuda.Device(index):
        if stream is None:
            yield
            return
        with _as_current(library, cuda, stream_pointer(stream)):
            yield


def _as_current(library: str, cuda: Any, pointer: int) -> Any:
    """Return a context in which a stream is the library's current one, behind the one before it."""
    if library == "torch":
        theirs = cuda.ExternalStream(pointer)
        theirs.wait_stream(cuda.current_stream())
        return cuda.stream(theirs)
    theirs = cuda.ExternalStream(pointer)
    theirs.wait_event(cuda.get_current_stream().record())
    return theirs


def finish_for_jax(array: Any, device: str, stream: Any) -> None:
    """Wait for the work, since JAX does not know of our stream."""
    if device != "cpu" and reader_of(array, "q").library == "jax":
        synchronize_stream(0 if stream is None else stream_pointer(stream))
