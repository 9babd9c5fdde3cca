"""New arrays in the library of an existing one."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from flashdec.errors import InvalidArgumentError
from flashdec.tensor import reader_of

__all__ = ["device_bytes", "empty_like", "hand_over", "host_bytes", "itemsize"]


class _Fresh:
    """A JAX array that nobody else has seen yet, so that it may still be written.

    JAX arrays never change after they are made; others are refused as outputs.
    """

    def __init__(self, array: Any) -> None:
        self.array = array
        self.itemsize = array.dtype.itemsize

    def __dlpack__(self, **options: Any) -> Any:
        return self.array.__dlpack__(**options)

    def __dlpack_device__(self) -> Any:
        return self.array.__dlpack_device__()


def _numpy_empty(like: Any, shape: tuple[int, ...], dtype: str | None) -> Any:
    return np.empty(shape, like.dtype if dtype is None else dtype)


def _torch_empty(like: Any, shape: tuple[int, ...], dtype: str | None) -> Any:
    torch = sys.modules["torch"]
    return like.new_empty(shape, dtype=None if dtype is None else getattr(torch, dtype))


def _cupy_empty(like: Any, shape: tuple[int, ...], dtype: str | None) -> Any:
    cupy = sys.modules["cupy"]
    with cupy.cuda.Device(like.device.id):
        return cupy.empty(shape, like.dtype if dtype is None else dtype)


def _jax_empty(like: Any, shape: tuple[int, ...], dtype: str | None) -> Any:
    element = like.dtype if dtype is None else dtype
    device = next(iter(like.devices()))
    if device.platform == "cpu":
        return np.empty(shape, element)
    jax = sys.modules["jax"]
    return _Fresh(jax.device_put(jax.numpy.zeros(shape, element), device).block_until_ready())


_EMPTY: dict[str, Callable[[Any, tuple[int, ...], str | None], Any]] = {
    "numpy": _numpy_empty,
    "torch": _torch_empty,
    "cupy": _cupy_empty,
    "jax": _jax_empty,
}


def empty_like(
    like: Any, shape: tuple[int, ...], dtype: str | None = None, name: str = "out"
) -> Any:
    """Make an uninitialised array in the library and on the device of another.

    Parameters
    ----------
    like : array
        Gives library, device and, if `dtype` is None, dtype.
    shape : tuple of int
        Of the new array.
    dtype : str, optional
        For instance ``"float32"``.
    name : str
        Of the argument it stands in for, for the refusal.

    Raises
    ------
    InvalidArgumentError
        If the library is not known.
    """
    library = reader_of(like, name).library
    make = _EMPTY.get(library)
    if make is None:
        raise InvalidArgumentError(
            f"{name} is missing, and arrays of {library} cannot be allocated here; pass {name}"
        )
    return make(like, shape, dtype)


def hand_over(array: Any, like: Any) -> Any:
    """Return a written array in the library of `like`: JAX on the CPU adopts NumPy's memory."""
    if isinstance(array, _Fresh):
        return array.array
    if reader_of(like, "q").library == "jax" and isinstance(array, np.ndarray):
        return sys.modules["jax"].numpy.asarray(array)
    return array


def host_bytes(nbytes: int) -> Any:
    """Allocate bytes of host memory."""
    return np.empty(nbytes, np.uint8)


def device_bytes(nbytes: int, device: str, like: Any) -> Any:
    """Allocate bytes on a CUDA device, with the library of `like` or CUDA Python."""
    if like is not None:
        return empty_like(like, (nbytes,), "uint8", "workspace")
    try:
        from cuda.core import Device  # type: ignore[import-not-found, unused-ignore]
    except ImportError:
        raise InvalidArgumentError(
            "like is missing; pass an array of the library to allocate with, "
            "or install flashdec[cuda]"
        ) from None
    owner = Device(int(device.partition(":")[2]))
    owner.set_current()
    return owner.allocate(nbytes, stream=owner.default_stream)


def itemsize(array: Any) -> int:
    """Return the bytes of an array's element."""
    size = getattr(array, "itemsize", None)
    if size is None:
        return 1  # a cuda.core Buffer counts bytes
    return int(size() if callable(size) else size)
