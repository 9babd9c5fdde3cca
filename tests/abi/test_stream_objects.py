"""What counts as a stream: an address, CUDA Python's protocol, or another library's object."""

from __future__ import annotations

import ctypes
from types import SimpleNamespace
from typing import Any

import pytest

import flashdec
from flashdec.stream import stream_pointer


class Protocol:
    """As cuda.core's streams and graph builders are."""

    handle = 1  # the protocol goes before it

    def __init__(self, address: int) -> None:
        self.address = address

    def __cuda_stream__(self) -> tuple[int, int]:
        if self.address < 0:
            raise RuntimeError("Stream has been closed")
        return 0, self.address


STREAMS = {
    "address": 4096,
    "cuda.core": Protocol(4096),
    "torch": SimpleNamespace(cuda_stream=4096),
    "cupy": SimpleNamespace(ptr=4096),
    "numba": SimpleNamespace(handle=ctypes.c_void_p(4096)),
}


@pytest.mark.parametrize("library", STREAMS)
def test_streams_of_every_library(library: str) -> None:
    assert stream_pointer(STREAMS[library]) == 4096


@pytest.mark.parametrize(
    "stream", [Protocol(0), SimpleNamespace(ptr=0), SimpleNamespace(handle=ctypes.c_void_p())]
)
def test_the_default_stream_is_zero(stream: Any) -> None:
    assert stream_pointer(stream) == 0


def test_a_closed_stream_says_so_itself() -> None:
    with pytest.raises(RuntimeError, match="closed"):
        stream_pointer(Protocol(-1))


@pytest.mark.parametrize("stream", ["fast", 1.5, object(), [4096]])
def test_anything_else_is_refused(stream: Any) -> None:
    with pytest.raises(flashdec.InvalidArgumentError, match=f"of type {type(stream).__name__}"):
        stream_pointer(stream)
