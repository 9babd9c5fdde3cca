"""What the operands of a call have to be: their axes, elements and devices."""

from __future__ import annotations

from typing import Any

from flashdec.errors import DeviceError, InvalidArgumentError
from flashdec.tensor import Tensor, describe, reader_of

__all__ = [
    "describe_floats",
    "describe_rows",
    "describe_words",
    "dtype_text",
    "refuse_readonly",
    "require_device",
    "require_packed",
    "require_shape",
]


def dtype_text(tensor: Tensor) -> str:
    """Return what the array's library calls its elements."""
    return str(getattr(tensor.owner, "dtype", "unknown"))


def describe_floats(array: Any, name: str, rank: int) -> Tensor:
    """Read an array that has so many axes and elements of one of our types.

    Raises
    ------
    InvalidArgumentError
        If it does not, or as `describe`.
    """
    tensor = describe(array, name)
    if len(tensor.shape) != rank:
        raise InvalidArgumentError(
            f"{name} has {len(tensor.shape)} dimensions; it must have {rank}"
        )
    _require_float(tensor, name)
    return tensor


def _require_float(tensor: Tensor, name: str) -> None:
    if tensor.dtype is None:
        raise InvalidArgumentError(
            f"{name} has elements of type {dtype_text(tensor)}; they must be float32, float16 or "
            "bfloat16 (in NumPy: ml_dtypes.bfloat16)"
        )


def describe_rows(array: Any, name: str, *ranks: int) -> Tensor:
    """Read an array like `describe_floats`, of one of these ranks: not empty, with packed rows."""
    tensor = describe(array, name)
    if len(tensor.shape) not in ranks:
        wanted = " or ".join(map(str, ranks))
        raise InvalidArgumentError(
            f"{name} has {len(tensor.shape)} dimensions; it must have {wanted}"
        )
    _require_float(tensor, name)
    if 0 in tensor.shape:
        raise InvalidArgumentError(
            f"{name} has the shape {tensor.shape}; every axis must have an element"
        )
    require_packed(tensor, name)
    return tensor


def describe_words(array: Any, name: str, rank: int, unsigned: bool = False) -> Tensor:
    """Read an array of int32, packed along its last axis.

    Parameters
    ----------
    array : array
        Of any library.
    name : str
        Of the argument, for refusals.
    rank : int
        Its axes.
    unsigned : bool
        Whether uint32 will do as well.

    Raises
    ------
    InvalidArgumentError
        If it is not, or as `describe`.
    """
    tensor = describe(array, name)
    if len(tensor.shape) != rank:
        raise InvalidArgumentError(
            f"{name} has {len(tensor.shape)} dimensions; it must have {rank}"
        )
    kind = dtype_text(tensor).rpartition(".")[2]  # torch's is torch.int32
    if kind != "int32" and not (unsigned and kind == "uint32"):
        wanted = "int32 or uint32" if unsigned else "int32"
        raise InvalidArgumentError(f"{name} has elements of type {kind}; it must be {wanted}")
    require_packed(tensor, name)
    return tensor


def require_packed(tensor: Tensor, name: str) -> None:
    """Refuse a stride other than 1 along the last axis."""
    if tensor.shape[-1] > 1 and tensor.strides[-1] != 1:
        raise InvalidArgumentError(
            f"{name} has the stride {tensor.strides[-1]} along its last axis; it must be 1"
        )


def require_shape(tensor: Tensor, name: str, shape: tuple[int, ...]) -> None:
    """Refuse a shape other than this."""
    if tensor.shape != shape:
        raise InvalidArgumentError(f"{name} has the shape {tensor.shape}; it must be {shape}")


def require_device(tensor: Tensor, name: str, device: str, other: str) -> None:
    """Refuse a device other than that of another operand, which `other` names."""
    if tensor.device != device:
        raise DeviceError(f"{name} is on {tensor.device} and {other} on {device}")


def refuse_readonly(tensor: Tensor, name: str) -> None:
    """Refuse an output that cannot be written; arrays of JAX never change."""
    if tensor.readonly or reader_of(tensor.owner, name).library == "jax":
        raise InvalidArgumentError(f"{name} is read-only; it is written")
