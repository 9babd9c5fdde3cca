"""Partial results of attention, over parts of a cache, become the whole."""

from __future__ import annotations

from typing import Any

from flashdec import _abi, _abi_merge, _allocate
from flashdec._device import finish_for_jax, on_device
from flashdec._enums import Backend
from flashdec._operands import (
    describe_floats,
    describe_rows,
    dtype_text,
    refuse_readonly,
    require_device,
    require_shape,
)
from flashdec.dtypes import DType
from flashdec.errors import DeviceError, InvalidArgumentError
from flashdec.stream import stream_address
from flashdec.tensor import Tensor, reader_of

__all__ = ["merge"]


def merge(
    o: Any,
    lse: Any,
    *,
    out: Any = None,
    lse_out: Any = None,
    base2: bool = False,
    stream: Any = None,
) -> tuple[Any, Any]:
    """Merge attention over the parts of a cache into attention over all of it.

    ``lse = ln(sum_i exp(lse_i))`` and ``o = sum_i exp(lse_i - lse) o_i``, in float32, always in the
    same order; `flashdec_merge.h` has the bounds of its error.  A part whose lse is -inf is empty,
    and its o is not used.  Merges of merges give the same, within that bound.

    Parameters
    ----------
    o : array ``[parts, batch, heads, head_dim]``, or two arrays ``[batch, heads, head_dim]``
        Results of `decode` over each part: float32, float16 or bfloat16.
    lse : array ``[parts, batch, heads]``, or two arrays ``[batch, heads]``
        The logarithms that belong to them: of the same types, float32 as `decode` returns it.
        Rows that hold both, ``packed[parts, batch, heads, head_dim + 1]``, are
        ``merge(packed[..., :-1], packed[..., -1])``.
    out : array ``[batch, heads, head_dim]``, optional
        Where to write; None: a new array like o.  May be one of the parts.
    lse_out : float32 array ``[batch, heads]``, optional
        The same for lse.
    base2 : bool
        Whether lse and `lse_out` are logarithms to the base 2.
    stream : stream object or int, optional
        CUDA: None is the current stream of o's library.

    Returns
    -------
    out, lse_out : arrays
        All parts empty: 0 and -inf.

    Raises
    ------
    InvalidArgumentError
        If an argument is not as above; nothing has been written then.
    DeviceError
        If the arrays are on different devices, or CUDA reports an error.
    """
    first = o[0] if isinstance(o, (tuple, list)) and o else o
    part_o, part_lse = _parts(o, "o", 3), _parts(lse, "lse", 2)
    if part_lse.shape != part_o.shape[:3]:
        raise InvalidArgumentError(
            f"lse has the shape {part_lse.shape} and o {part_o.shape}; that of lse must be "
            f"{part_o.shape[:3]}"
        )
    device = part_o.device
    with on_device(first, device, stream):
        o_shape = part_o.shape[1:]
        new_o = out if out is not None else _allocate.empty_like(first, o_shape)
        new_lse = (
            lse_out
            if lse_out is not None
            else _allocate.empty_like(first, o_shape[:2], "float32", "lse_out")
        )
        whole = _output(new_o, "out", o_shape, device)
        whole_lse = _output(new_lse, "lse_out", o_shape[:2], device)
        if whole_lse.dtype is not DType.FLOAT32:
            raise InvalidArgumentError(
                f"lse_out has elements of type {dtype_text(whole_lse)}; it must be float32"
            )
        require_device(part_lse, "lse", device, "o")
        address = stream_address(stream, device, reader_of(first, "o").library)
        _run(part_o, part_lse, whole, whole_lse, base2, address)
        finish_for_jax(first, device, stream)
    return (
        _allocate.hand_over(new_o, first) if out is None else out,
        _allocate.hand_over(new_lse, first) if lse_out is None else lse_out,
    )


def _described(array: Any, name: str, rank: int) -> Tensor:
    if not name.startswith("lse"):
        return describe_rows(array, name, rank)
    tensor = describe_floats(array, name, rank)
    if 0 in tensor.shape:
        raise InvalidArgumentError(
            f"{name} has the shape {tensor.shape}; every axis must have an element"
        )
    return tensor


def _parts(given: Any, name: str, rank: int) -> Tensor:
    """Return parts as one tensor, also two arrays: their distance is the stride."""
    if not isinstance(given, (tuple, list)):
        return _described(given, name, rank + 1)
    if len(given) != 2:
        raise InvalidArgumentError(
            f"{name} has {len(given)} arrays; it must have 2, or be one array of all parts"
        )
    one, two = (_described(array, f"{name}[{i}]", rank) for i, array in enumerate(given))
    if one.device != two.device:
        raise DeviceError(f"{name}[0] is on {one.device} and {name}[1] on {two.device}")
    facts = [(each.shape, _used_strides(each), each.dtype) for each in (one, two)]
    if facts[0] != facts[1]:
        raise InvalidArgumentError(
            f"{name}[0] has shape, strides and type {_told(one)}, and {name}[1] "
            f"{_told(two)}; they must be the same"
        )
    assert one.dtype is not None
    apart = two.pointer - one.pointer
    if apart % one.dtype.itemsize != 0:
        raise InvalidArgumentError(
            f"{name}[1] is {apart} bytes from {name}[0]; it must be a multiple of "
            f"{one.dtype.itemsize}"
        )
    return Tensor(
        pointer=one.pointer,
        shape=(2, *one.shape),
        strides=(apart // one.dtype.itemsize, *one.strides),
        dtype=one.dtype,
        device=one.device,
        readonly=True,
        owner=given,
    )


def _told(tensor: Tensor) -> str:
    return f"{tensor.shape}, {tensor.strides} and {dtype_text(tensor)}"


def _used_strides(tensor: Tensor) -> list[int]:
    """Return the strides along axes of more than one element."""
    return [s for n, s in zip(tensor.shape, tensor.strides, strict=True) if n > 1]


def _output(array: Any, name: str, shape: tuple[int, ...], device: str) -> Tensor:
    tensor = _described(array, name, len(shape))
    require_shape(tensor, name, shape)
    refuse_readonly(tensor, name)
    require_device(tensor, name, device, "o")
    return tensor


def _run(
    part_o: Tensor, part_lse: Tensor, o: Tensor, lse: Tensor, base2: bool, stream: int
) -> None:
    args = _abi.sized(_abi_merge.CMergeArgs)
    args.flags = _abi_merge.MERGE_BASE2 if base2 else 0
    on_cpu = o.device == "cpu"
    args.backend = Backend.CPU if on_cpu else Backend.CUDA
    args.device = 0 if on_cpu else int(o.device.partition(":")[2])
    args.part_o_dtype, args.part_lse_dtype, args.o_dtype = part_o.dtype, part_lse.dtype, o.dtype
    args.parts, args.batch, args.heads, args.head_dim = part_o.shape
    args.part_o, args.part_lse, args.o, args.lse = (
        each.pointer for each in (part_o, part_lse, o, lse)
    )
    for name, tensor, axes in (
        ("part_o", part_o, ("part", "batch", "head")),
        ("part_lse", part_lse, ("part", "batch", "head")),
        ("o", o, ("batch", "head")),
        ("lse", lse, ("batch", "head")),
    ):
        for axis, stride in zip(axes, tensor.strides, strict=False):
            setattr(args, f"{name}_stride_{axis}", stride)
    _abi.check(_abi_merge.merge(_abi.address(args), stream))
