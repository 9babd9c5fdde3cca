"""Elements of every type with NumPy alone: bfloat16 travels as its bits, in uint16."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from flashdec.dtypes import DType

__all__ = ["Array", "address_of", "from_float32", "storage_dtype", "to_float32"]

Array = npt.NDArray[Any]

_STORAGE: dict[DType, npt.DTypeLike] = {
    DType.FLOAT32: np.float32,
    DType.FLOAT16: np.float16,
    DType.BFLOAT16: np.uint16,
}


def storage_dtype(element: DType) -> np.dtype[Any]:
    """Return the NumPy dtype that holds an element type: uint16 for bfloat16."""
    return np.dtype(_STORAGE[element])


def from_float32(values: Array, element: DType) -> Array:
    """Round finite float32 values to nearest even; return their storage."""
    if element is not DType.BFLOAT16:
        stored: Array = values.astype(storage_dtype(element))
        return stored
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    rounded = bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))
    upper: Array = (rounded >> np.uint32(16)).astype(np.uint16)
    return upper


def to_float32(storage: Array, element: DType) -> Array:
    """Return the values of a storage array, exactly."""
    if element is not DType.BFLOAT16:
        values: Array = storage.astype(np.float32)
        return values
    widened: Array = (storage.astype(np.uint32) << np.uint32(16)).view(np.float32)
    return widened


def address_of(array: Array) -> int:
    """Return the address of an array's first element."""
    return int(array.__array_interface__["data"][0])
