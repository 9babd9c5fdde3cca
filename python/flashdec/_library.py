"""Find and load ``libflashdecoding.so``.

Beside this module only the mirrors of the headers use ctypes.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import importlib.resources
import os
from collections.abc import Iterator
from pathlib import Path

from flashdec.errors import DeviceError, LibraryNotFoundError

__all__ = ["device_context", "find_library", "load_library", "synchronize_stream"]

_FILE_NAME = "libflashdecoding.so"
_ABI_VERSION = 0


def _candidates() -> list[Path]:
    """Where the library may be, in the order of search."""
    override = os.environ.get("FLASHDEC_LIBRARY")
    if override:
        return [Path(override)]
    # Not beside __file__: in an editable install the sources and the built files are apart.
    return [Path(str(importlib.resources.files("flashdec") / "lib" / _FILE_NAME))]


def find_library() -> Path:
    """Return the path of the shared library.

    ``FLASHDEC_LIBRARY`` in the environment, a path, takes the place of the packaged one.

    Raises
    ------
    LibraryNotFoundError
        If there is no such file; the message lists every path tried.
    """
    tried = _candidates()
    for path in tried:
        if path.is_file():
            return path
    raise LibraryNotFoundError(
        f"{_FILE_NAME} was not found; tried {', '.join(map(str, tried))}; "
        "`pip install .` in the project's root builds it"
    )


@functools.lru_cache(maxsize=1)
def load_library() -> tuple[ctypes.CDLL, ctypes.PyDLL]:
    """Load the library twice: calls of the first release the GIL, those of the second keep it."""
    path = find_library()
    try:
        library = ctypes.CDLL(str(path))
        with_gil = ctypes.PyDLL(str(path))
    except OSError as error:
        raise LibraryNotFoundError(f"{path} cannot be loaded: {error}") from error
    version = int(library.flashdec_abi_version())
    if version != _ABI_VERSION:
        raise LibraryNotFoundError(
            f"{path} has ABI version {version}; this package speaks version {_ABI_VERSION}"
        )
    return library, with_gil


def _driver(function: str, *arguments: object) -> None:
    status = getattr(ctypes.CDLL("libcuda.so.1"), function)(*arguments)
    if status != 0:
        raise DeviceError(f"{function} failed with CUDA driver error {status}")


@contextlib.contextmanager
def device_context(index: int) -> Iterator[None]:
    """Make the primary context of a CUDA device current meanwhile."""
    context = ctypes.c_void_p()
    _driver("cuDevicePrimaryCtxRetain", ctypes.byref(context), index)
    try:
        _driver("cuCtxPushCurrent_v2", context)
        try:
            yield
        finally:
            _driver("cuCtxPopCurrent_v2", ctypes.byref(ctypes.c_void_p()))
    finally:
        _driver("cuDevicePrimaryCtxRelease_v2", index)


def synchronize_stream(stream: int) -> None:
    """Wait for a CUDA stream of the current context."""
    _driver("cuStreamSynchronize", ctypes.c_void_p(stream))
