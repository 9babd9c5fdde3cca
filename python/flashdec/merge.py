"""Partial results of attention, over parts of a cache, become the whole."""

from __future__ import annotations

from typing import Any

from flashdec import _abi, _abi_dlpack, _abi_merge, _allocate
from flashdec._device import finish_for_jax, on_device
from flashdec._objects import fill_operands, stream_for
from flashdec.errors import InvalidArgumentError
from flashdec.tensor import describe

__all__ = ["merge"]

_NAMES = ("o", "lse", "out", "lse_out", "o[1]", "lse[1]")  # of flashdec_merge_operand


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
    (one, other), (one_lse, other_lse) = _pair(o, "o"), _pair(lse, "lse")
    described = describe(one, "o" if other is None else "o[0]")
    rows = described.shape if other is not None else described.shape[1:]
    new_o, new_lse = out, lse_out
    if out is None or lse_out is None:
        with on_device(one, described.device, stream):
            if out is None:
                new_o = _allocate.empty_like(one, rows)
            if lse_out is None:
                new_lse = _allocate.empty_like(one, rows[:2], "float32", "lse_out")
    call = _abi.sized(_abi_dlpack.CMergeCall)
    call.flags = _abi_merge.MERGE_BASE2 if base2 else 0
    arrays = (one, one_lse, new_o, new_lse, other, other_lse)
    kept = fill_operands(call.operands, zip(_NAMES, arrays, strict=True), ("out", "lse_out"))
    call.stream = stream_for(one, "o", stream)
    _abi.check(_abi_dlpack.merge_objects(_abi.address(call)))
    del kept
    finish_for_jax(one, described.device, stream)
    return (
        _allocate.hand_over(new_o, one) if out is None else out,
        _allocate.hand_over(new_lse, one) if lse_out is None else lse_out,
    )


def _pair(given: Any, name: str) -> tuple[Any, Any]:
    """Return the array of all parts and None, or both of a pair."""
    if not isinstance(given, (tuple, list)):
        return given, None
    if len(given) != 2:
        raise InvalidArgumentError(
            f"{name} has {len(given)} arrays; it must have 2, or be one array of all parts"
        )
    if given[1] is None:
        raise InvalidArgumentError(f"{name}[1] is None; it must be an array")
    return given[0], given[1]
