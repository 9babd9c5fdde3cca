"""The keys and values of new tokens into the cache, with rotary position embedding."""

from __future__ import annotations

from dataclasses import replace
from numbers import Integral
from typing import Any

from flashdec import _abi, _abi_append, _allocate
from flashdec._device import finish_for_jax, on_device
from flashdec._enums import Axes, Backend
from flashdec._operands import (
    describe_rows,
    describe_words,
    dtype_text,
    refuse_readonly,
    require_device,
    require_shape,
)
from flashdec.args import as_axes
from flashdec.dtypes import DType
from flashdec.errors import InvalidArgumentError
from flashdec.stream import stream_address
from flashdec.tensor import Tensor, describe, reader_of

__all__ = ["append"]


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
        Of the angles; float32 or of the dtype of k.
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
        Whether ``kv_len`` grows by the new tokens, on its device.
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
    new_k = _new_rows(k, "k")
    device = new_k.device
    axes = as_axes(layout)
    rows = {"k": new_k, "v": _new_rows(v, "v"), **_caches(k_cache, v_cache, axes)}
    if q is not None:
        rows["q"] = _new_rows(q, "q")
    elif q_out is not None:
        raise InvalidArgumentError("q_out is given without q")
    if (cos is None) != (sin is None):
        raise InvalidArgumentError(f"{'cos' if cos is None else 'sin'} is missing; both are needed")
    angles = (
        {}
        if cos is None
        else {
            "cos": describe_rows(cos, "cos", 2),
            "sin": describe_rows(sin, "sin", 2),
        }
    )
    words = _words(new_k.shape[0], kv_len, new_len, positions, page_table, status)
    if advance:
        if "kv_len" not in words:
            raise InvalidArgumentError(f"advance is set and kv_len {kv_len}; only an array grows")
        refuse_readonly(words["kv_len"], "kv_len")
    with on_device(k, device, stream):
        new_q = None
        if q is not None:
            new_q = q_out if q_out is not None else _allocate.empty_like(q, describe(q, "q").shape)
            rows["q_out"] = _new_rows(new_q, "q_out")
        for name, tensor in (*rows.items(), *angles.items(), *words.items()):
            require_device(tensor, name, device, "k")
        _check_rows(rows, page_table is not None, axes)
        if angles:
            _check_angles(**angles, k=new_k)
        args = _to_c(rows, angles, words)
        args.backend = Backend.CPU if device == "cpu" else Backend.CUDA
        args.device = 0 if device == "cpu" else int(device.partition(":")[2])
        args.flags = (_abi_append.APPEND_INTERLEAVED if interleaved else 0) | (
            _abi_append.APPEND_ADVANCE if advance else 0
        )
        if "kv_len" not in words:
            _abi.set_field(args, "uniform_kv_len", int(kv_len))
        address = stream_address(stream, device, reader_of(k, "k").library)
        _abi.check(_abi_append.append(_abi.address(args), address))
        if q is not None:
            finish_for_jax(q, device, stream)
    return new_q if q is None or q_out is not None else _allocate.hand_over(new_q, q)


def _new_rows(array: Any, name: str) -> Tensor:
    """Read rows of new tokens; of one token alike with the axis of tokens."""
    tensor = describe_rows(array, name, 3, 4)
    if len(tensor.shape) == 4:
        return tensor
    shape, strides = tensor.shape, tensor.strides
    return replace(tensor, shape=(shape[0], 1, *shape[1:]), strides=(strides[0], 0, *strides[1:]))


def _caches(k_cache: Any, v_cache: Any, axes: Axes) -> dict[str, Tensor]:
    """Read both, with tokens before heads."""
    found = {}
    for name, array in (("k_cache", k_cache), ("v_cache", v_cache)):
        tensor = describe_rows(array, name, 4)
        refuse_readonly(tensor, name)
        shape, strides = (_in_order(each, axes) for each in (tensor.shape, tensor.strides))
        found[name] = replace(tensor, shape=shape, strides=strides)
    return found


def _in_order(of_axes: tuple[int, ...], axes: Axes) -> tuple[int, ...]:
    """Put tokens before heads, or back."""
    first, second, third, last = of_axes
    return of_axes if axes is Axes.BSHD else (first, third, second, last)


def _words(
    batch: int, kv_len: Any, new_len: Any, positions: Any, page_table: Any, status: Any
) -> dict[str, Tensor]:
    found = {}
    for name, array in (("kv_len", kv_len), ("new_len", new_len), ("positions", positions)):
        absent = isinstance(array, Integral) if name == "kv_len" else array is None
        if not absent:
            found[name] = describe_words(array, name, 1)
            require_shape(found[name], name, (batch,))
    if page_table is not None:
        found["page_table"] = describe_words(page_table, "page_table", 2)
        require_shape(found["page_table"], "page_table", (batch, found["page_table"].shape[1]))
    if status is not None:
        found["status"] = describe_words(status, "status", 1, unsigned=True)
        require_shape(found["status"], "status", (1,))
        refuse_readonly(found["status"], "status")
    return found


def _check_rows(rows: dict[str, Tensor], paged: bool, axes: Axes) -> None:
    k, v, cache = rows["k"], rows["v"], rows["k_cache"]
    batch, tokens, heads, head_dim = k.shape
    blocks = cache.shape[0] if paged else batch
    wanted = {
        "v": (batch, tokens, heads, v.shape[3]),
        "k_cache": (blocks, cache.shape[1], heads, head_dim),
        "v_cache": (blocks, cache.shape[1], heads, v.shape[3]),
    }
    if "q" in rows:
        wanted["q"] = wanted["q_out"] = (batch, tokens, rows["q"].shape[2], head_dim)
        refuse_readonly(rows["q_out"], "q_out")
    for name, shape in wanted.items():
        if rows[name].shape != shape:
            given, told = (_as_given(rows[name], name, each, axes) for each in (None, shape))
            raise InvalidArgumentError(f"{name} has the shape {given}; it must be {told}")
    for name, tensor in rows.items():
        if tensor.dtype is not k.dtype:
            raise InvalidArgumentError(
                f"{name} has elements of type {dtype_text(tensor)} and k {dtype_text(k)}; "
                "they must be the same"
            )


def _as_given(
    tensor: Tensor, name: str, shape: tuple[int, ...] | None, axes: Axes
) -> tuple[int, ...]:
    """Return a shape, or that of the tensor, as the caller's array has its axes."""
    shape = tensor.shape if shape is None else shape
    if name.endswith("_cache"):
        return _in_order(shape, axes)
    has_tokens = len(describe(tensor.owner, name).shape) == 4
    return shape if has_tokens or shape[1] != 1 else (shape[0], *shape[2:])


def _check_angles(cos: Tensor, sin: Tensor, k: Tensor) -> None:
    require_shape(sin, "sin", cos.shape)
    for name, tensor in (("cos", cos), ("sin", sin)):
        if tensor.dtype not in (DType.FLOAT32, k.dtype) or tensor.dtype is not cos.dtype:
            raise InvalidArgumentError(
                f"{name} has elements of type {dtype_text(tensor)}; cos and sin must both be "
                f"float32, or both as k, {dtype_text(k)}"
            )


def _to_c(rows: dict[str, Tensor], angles: dict[str, Tensor], words: dict[str, Tensor]) -> Any:
    k, cache, table = rows["k"], rows["k_cache"], words.get("page_table")
    args = _abi.sized(_abi_append.CAppendArgs)
    args.dtype = k.dtype
    args.batch, args.tokens, args.kv_heads, args.head_dim = k.shape
    args.head_dim_v = rows["v"].shape[3]
    args.q_heads = rows["q"].shape[2] if "q" in rows else 0
    args.max_kv_len = cache.shape[1] if table is None else cache.shape[1] * table.shape[1]
    if table is not None:
        args.num_pages, args.page_size = cache.shape[:2]
        args.page_table_stride = table.strides[0]
    if angles:
        cos, sin = angles["cos"], angles["sin"]
        args.rotary_dtype = cos.dtype
        args.max_position, args.rotary_dim = cos.shape[0], 2 * cos.shape[1]
        args.cos_stride, args.sin_stride = cos.strides[0], sin.strides[0]
    for name, tensor in (*rows.items(), *angles.items(), *words.items()):
        setattr(args, name, tensor.pointer)
    for name, tensor in rows.items():
        for axis, stride in zip(("batch", "token", "head"), tensor.strides, strict=False):
            setattr(args, f"{name}_stride_{axis}", stride)
    return args
