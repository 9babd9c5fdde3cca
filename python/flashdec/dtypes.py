"""Element types, and what other libraries call them."""

from __future__ import annotations

import enum
from typing import Any

from flashdec.errors import InvalidArgumentError

__all__ = ["DType", "as_dtype", "bfloat16", "float16", "float32"]


class DType(enum.IntEnum):
    """An element type; the values are those of ``flashdec_dtype``."""

    FLOAT32 = 1
    FLOAT16 = 2
    BFLOAT16 = 3

    @property
    def itemsize(self) -> int:
        """Bytes of an element."""
        return 4 if self is DType.FLOAT32 else 2


float32 = DType.FLOAT32
float16 = DType.FLOAT16
bfloat16 = DType.BFLOAT16

_BY_NAME = {"float32": float32, "float16": float16, "bfloat16": bfloat16}


def as_dtype(value: Any) -> DType:
    """Turn what any library calls an element type into a `DType`.

    Parameters
    ----------
    value : DType, str, numpy.dtype, torch.dtype, jax or ml_dtypes scalar type
        For instance ``"bfloat16"``, ``numpy.float16`` or ``torch.bfloat16``.

    Raises
    ------
    InvalidArgumentError
        If it is none of float32, float16 and bfloat16.
    """
    if isinstance(value, DType):
        return value
    name = getattr(value, "name", None) or getattr(value, "__name__", None) or str(value)
    found = _BY_NAME.get(str(name).rsplit(".", 1)[-1])
    if found is None:
        raise InvalidArgumentError(f"dtype is {value!r}; it must be float32, float16 or bfloat16")
    return found
