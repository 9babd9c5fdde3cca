"""The CUDA driver through cuda.bindings: memory, streams and graphs without an array library."""

from __future__ import annotations

import functools
import importlib
import time
import weakref
from typing import Any

import numpy as np

import flashdec


def driver() -> Any:
    """Import it late: most machines do not have it."""
    return importlib.import_module("cuda.bindings.driver")


def call(name: str, *arguments: Any) -> Any:
    """Call a function of the driver and return its one result, if it has one."""
    status, *results = getattr(driver(), name)(*arguments)
    assert status == driver().CUresult.CUDA_SUCCESS, f"{name}: {status!r}"
    return results[0] if results else None


def wait_for(stream: int, seconds: float = 20.0) -> None:
    """Synchronise, but fail rather than wait for ever: a kernel that spins cannot be stopped."""
    deadline = time.monotonic() + seconds
    while driver().cuStreamQuery(stream)[0] == driver().CUresult.CUDA_ERROR_NOT_READY:
        assert time.monotonic() < deadline, f"no end after {seconds} s"
        time.sleep(0.001)
    call("cuStreamSynchronize", stream)


@functools.cache
def is_usable() -> bool:
    """Whether cuda.bindings and the library are here for a GPU."""
    if all(kernel.backend != flashdec.Backend.CUDA for kernel in flashdec.kernels()):
        return False
    try:
        call("cuInit", 0)
        return bool(call("cuDeviceGetCount") > 0)
    except Exception:  # no cuda.bindings, no driver, or one that is too old
        return False


@functools.cache
def primary_context() -> Any:
    call("cuInit", 0)
    return call("cuDevicePrimaryCtxRetain", call("cuDeviceGet", 0))


def enter() -> None:
    """Make the primary context of device 0 this thread's."""
    call("cuCtxSetCurrent", primary_context())


def new_context(device: int = 0) -> Any:
    """Make a context of its own for a device, and make it current."""
    call("cuInit", 0)
    version = int(importlib.import_module("cuda.bindings").__version__.split(".")[0])
    first = () if version < 13 else (None,)  # CUDA 13 put its parameters in front
    return call("cuCtxCreate", *first, 0, call("cuDeviceGet", device))


def current_context() -> int:
    return int(call("cuCtxGetCurrent"))


def new_stream() -> int:
    """Make a stream of the current context that waits for no other."""
    return int(call("cuStreamCreate", 1))


def instantiate(graph: Any) -> Any:
    return call("cuGraphInstantiate", graph, 0)


class Capture:
    """Captures what is enqueued on a stream meanwhile into ``graph``, in the strictest mode."""

    def __init__(self, stream: int) -> None:
        self.stream = stream
        self.graph: Any = None

    def __enter__(self) -> Capture:
        mode = driver().CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_GLOBAL
        call("cuStreamBeginCapture", self.stream, mode)
        return self

    def __exit__(self, *raised: object) -> None:
        self.graph = call("cuStreamEndCapture", self.stream)


class Memory:
    """Device memory of the context that is current when it is made, freed with it."""

    def __init__(self, nbytes: int) -> None:
        self.nbytes = nbytes
        self.pointer = int(call("cuMemAlloc", max(nbytes, 1)))
        weakref.finalize(self, driver().cuMemFree, self.pointer)

    def upload(self, array: Any) -> None:
        """Copy packed host bytes to the start."""
        assert array.flags.c_contiguous or array.flags.f_contiguous
        assert array.nbytes <= self.nbytes
        call("cuMemcpyHtoD", self.pointer, array.ctypes.data, array.nbytes)

    def download(self) -> Any:
        """Wait for the context's work and return the bytes."""
        call("cuCtxSynchronize")
        host = np.empty(self.nbytes, np.uint8)
        call("cuMemcpyDtoH", host.ctypes.data, self.pointer, self.nbytes)
        return host
