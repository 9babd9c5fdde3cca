"""The keys and values of new tokens into the cache, with rotary position embedding."""

from __future__ import annotations

from numbers import Integral
from typing import Any

from flashdec import _abi, _abi_append, _abi_dlpack, _allocate
from flashdec._abi_dlpack import APPEND_OPERANDS
from flashdec._device import finish_for_jax, on_device
from flashdec._objects import fill_operands, stream_for
from flashdec.args import as_axes
from flashdec.errors import InvalidArgumentError, error_for
from flashdec.tensor import describe

__all__ = ["append"]

_WRITTEN = ("k_cache", "v_cache", "q_out", "status")


def append(
    k: Any,
    v: Any,
    k_cache: Any,
    v_cache: Any,
    kv_len: Any,
    *,
    q: Any = None,
    q_out: Any = None,
    cos: Any = None,
    sin: Any = None,
    interleaved: bool = False,
    positions: Any = None,
    new_len: Any = None,
    page_table: Any = None,
    layout: str = "bshd",
    advance: bool = False,
    status: Any = None,
    stream: Any = None,
) -> Any:
    """Write new tokens to the end of each sequence's cache, with q and k rotated on the way.

    Token t of sequence b becomes token ``kv_len[b] + t`` of its cache.  With `cos` and `sin` the
    first rotary_dim elements of each row of q and k turn in pairs by the angles of position
    ``positions[b] + t``, in float32, rounded once: `flashdec_append.h` has the formula.  The bits
    are the same on every backend.

    Parameters
    ----------
    k, v : array ``[batch, kv_heads, head_dim]`` or ``[batch, tokens, kv_heads, head_dim]``
        Of one new token per sequence, or of several: float32, float16 or bfloat16.
    k_cache, v_cache : array ``[batch, capacity, kv_heads, head_dim]``
        Written; of the dtype of k.  With ``layout="bhsd"`` heads come before tokens.  With a page
        table ``[num_pages, page_size, kv_heads, head_dim]``, or heads before tokens.
    kv_len : int32 array ``[batch]``, or int
        Tokens in the cache before, of each sequence or of all.
    q : array ``[batch, q_heads, head_dim]`` or ``[batch, tokens, q_heads, head_dim]``, optional
        Queries, to be rotated as k is.
    q_out : array like q, optional
        Where to; may be q itself.  None: a new array.
    cos, sin : array ``[max_position, rotary_dim / 2]``, optional
        Of the angles, a column for each pair of elements; float32 or of the dtype of k.
    interleaved : bool
        Whether pairs are neighbours (GPT-J), not half of rotary_dim apart (GPT-NeoX, Llama).
    positions : int32 array ``[batch]``, optional
        Of the first new token of each sequence, a row of cos and sin; None: kv_len.
    new_len : int32 array ``[batch]``, optional
        New tokens of each sequence, 0 to tokens; None: all.
    page_table : int32 array ``[batch, pages]``, optional
        Ids of the pages of each sequence.
    layout : {"bshd", "bhsd"}
        The order of the axes of the cache.
    advance : bool
        Whether ``kv_len`` grows by the new tokens, on its device.  Layers of a model share their
        lengths: then only the last one's append grows them, and attention before that is over
        ``kv_len + tokens``.
    status : int32 or uint32 array ``[1]``, optional
        `Fault` bits are OR-ed in where a sequence could not be appended: its cache is full, or a
        page id or position is outside its range.  Nothing of such a sequence is written but its
        q_out, which becomes NaN; with ``FLASHDEC_CHECK=1`` in the environment it is refused by
        name.
    stream : stream object or int, optional
        CUDA: None is the current stream of k's library.

    Returns
    -------
    q_out : array or None
        None without q.

    Raises
    ------
    InvalidArgumentError
        If an argument is not as above; nothing has been written then.
    DeviceError
        If the arrays are on different devices, or CUDA reports an error.
    """
    if q is None and q_out is not None:
        raise InvalidArgumentError("q_out is given without q")
    uniform = isinstance(kv_len, Integral)
    if advance and uniform:
        raise InvalidArgumentError(f"advance is set and kv_len is {kv_len}; only an array grows")
    written = (*_WRITTEN, "kv_len") if advance else _WRITTEN
    call = _abi.sized(_abi_dlpack.CAppendCall)
    call.axes = as_axes(layout)
    call.flags = (_abi_append.APPEND_INTERLEAVED if interleaved else 0) | (
        _abi_append.APPEND_ADVANCE if advance else 0
    )
    if uniform:
        _set_length(call, kv_len)
    fresh = None if q is None else q_out if q_out is not None else _new_q(q, stream)
    arrays = (
        k, v, k_cache, v_cache, None if uniform else _required(kv_len), q, fresh, cos, sin,
        positions, new_len, page_table, status,
    )  # fmt: skip
    kept = fill_operands(call.operands, zip(APPEND_OPERANDS, arrays, strict=True), written)
    call.stream = stream_for(k, "k", stream)
    try:
        _abi.check(_abi_dlpack.append_objects(_abi.address(call)))
    except InvalidArgumentError as error:
        if uniform and "uniform_kv_len" in str(error):
            sentence = str(error).replace("uniform_kv_len", "kv_len")
            raise error_for(error.code, error.status, sentence) from None
        raise
    del kept
    if q is None or q_out is not None:
        return fresh
    finish_for_jax(q, describe(q, "q").device, stream)
    return _allocate.hand_over(fresh, q)


def _required(kv_len: Any) -> Any:
    if kv_len is None:
        raise InvalidArgumentError("kv_len is None; it must be an int32 array or a number")
    return kv_len


def _set_length(call: Any, kv_len: Any) -> None:
    try:
        _abi.set_field(call, "uniform_kv_len", int(kv_len))
    except InvalidArgumentError as error:
        raise InvalidArgumentError(str(error).removeprefix("uniform_")) from None


def _new_q(q: Any, stream: Any) -> Any:
    tensor = describe(q, "q")
    with on_device(q, tensor.device, stream):
        return _allocate.empty_like(q, tensor.shape)
