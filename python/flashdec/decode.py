"""Decode attention in one call."""

from __future__ import annotations

import functools
import os
import threading
from typing import Any

from flashdec import _allocate
from flashdec._device import finish_for_jax, on_device
from flashdec._enums import Axes, Backend
from flashdec.args import Args, as_axes
from flashdec.descriptor import Descriptor
from flashdec.errors import InvalidArgumentError
from flashdec.plan import Plan
from flashdec.preference import PlanPreference
from flashdec.tensor import Tensor, describe
from flashdec.workspace import Workspace

__all__ = ["decode", "describe_problem"]

_PLANS = 1024  # kept by descriptor
_VARIABLES = ("FLASHDEC_ISA", "FLASHDEC_NUM_THREADS", "FLASHDEC_CHECK")  # select reads them

_scratch = threading.local()


def decode(
    q: Any,
    k: Any,
    v: Any,
    *,
    kv_len: Any = None,
    page_table: Any = None,
    layout: str = "bshd",
    scale: float | None = None,
    out: Any = None,
    return_lse: bool = False,
    base2: bool = False,
    workspace: Workspace | None = None,
    stream: Any = None,
) -> Any:
    """Attention of one new token per sequence over the sequence's key/value cache.

    Parameters
    ----------
    q : array ``[batch, q_heads, head_dim]``
        Queries: float32, float16 or bfloat16, of NumPy, PyTorch, JAX, CuPy or anything with DLPack.
    k, v : array ``[batch, capacity, kv_heads, head_dim]``
        The cache, of the dtype of q; with ``layout="bhsd"`` heads come before tokens.  With a
        page table ``[num_pages, page_size, kv_heads, head_dim]``, or heads before tokens.
    kv_len : int32 array ``[batch]`` or int, optional
        Tokens of each sequence, on the device of q, or one number for all; None: the capacity.
        An entry of an array outside 0 to the capacity makes the results of its sequence NaN, and so
        does a page id outside the cache; with ``FLASHDEC_CHECK=1`` in the environment they are
        refused by name.
    page_table : int32 array ``[batch, pages]``, optional
        Ids of the pages of each sequence.
    layout : {"bshd", "bhsd"}
        The order of the axes of k and v.
    scale : float, optional
        Of the scores; None or 0 means ``1 / sqrt(head_dim)``.
    out : array ``[batch, q_heads, head_dim_v]``, optional
        Where to write; None: a new array of q's library.
    return_lse : bool
        Whether to return the logarithm of the sum of exponentials as well.
    base2 : bool
        Whether that is a logarithm to the base 2.
    workspace : Workspace, optional
        Scratch memory; None: allocated here.
    stream : stream object or int, optional
        CUDA: None is the current stream of q's library.

    Returns
    -------
    o : array ``[batch, q_heads, head_dim_v]``
        Like q.  An empty sequence gives 0.
    lse : float32 array ``[batch, q_heads]``
        Only with `return_lse`: natural logarithm, or to the base 2; an empty sequence gives -inf.

    Raises
    ------
    InvalidArgumentError
        If an argument is not as above; nothing has been written then.
    UnsupportedError
        If there is no kernel for it.
    DeviceError
        If the arrays are on different devices, or CUDA reports an error.

    Notes
    -----
    Plans are kept by descriptor.  Arrays of JAX are complete when this returns, since JAX does not
    know of our stream.
    """
    tensors = _read(q, k, v)
    axes = as_axes(layout)
    table = _read_table(page_table)
    shape = (tensors[0].shape[0], tensors[0].shape[1], tensors[2].shape[3])
    with on_device(q, tensors[0].device, stream):
        o = out if out is not None else _allocate.empty_like(q, shape)
        lse = _allocate.empty_like(q, shape[:2], "float32", "lse") if return_lse else None
        args = Args(
            q=q,
            k=k,
            v=v,
            o=o,
            lse=lse,
            kv_len=kv_len,
            page_table=page_table,
            layout=layout,
            base2=base2,
        )
        written = [describe(o, "out")]
        desc = _descriptor(tensors, written, table, axes, scale)
        plan = _plan_for(desc, tensors[0].device, tuple(map(os.environ.get, _VARIABLES)))
        scratch = workspace if workspace is not None else _workspace_for(plan, q)
        plan.run(args, scratch, stream)
        finish_for_jax(q, tensors[0].device, stream)
    o = _allocate.hand_over(o, q) if out is None else out
    return (o, _allocate.hand_over(lse, q)) if return_lse else o


def describe_problem(
    q: Any, k: Any, v: Any, o: Any, page_table: Any, layout: str, scale: float | None
) -> Descriptor:
    """Return the descriptor of a decode of these arrays, with their alignment."""
    tensors = _read(q, k, v)
    table = _read_table(page_table)
    return _descriptor(tensors, [describe(o, "out")], table, as_axes(layout), scale)


def _read(q: Any, k: Any, v: Any) -> list[Tensor]:
    return [
        _read_floats(array, name, rank)
        for array, name, rank in ((q, "q", 3), (k, "k", 4), (v, "v", 4))
    ]


def _read_floats(array: Any, name: str, rank: int) -> Tensor:
    tensor = describe(array, name)
    if len(tensor.shape) != rank:
        raise InvalidArgumentError(
            f"{name} has {len(tensor.shape)} dimensions; it must have {rank}"
        )
    if tensor.dtype is None:
        raise InvalidArgumentError(
            f"{name} has elements of type {getattr(array, 'dtype', 'unknown')}; they must be "
            "float32, float16 or bfloat16 (in NumPy: ml_dtypes.bfloat16)"
        )
    return tensor


def _read_table(page_table: Any) -> Tensor | None:
    if page_table is None:
        return None
    table = describe(page_table, "page_table")
    if len(table.shape) != 2:
        raise InvalidArgumentError(f"page_table has {len(table.shape)} dimensions; it must have 2")
    return table


def _descriptor(
    tensors: list[Tensor],
    written: list[Tensor],
    table: Tensor | None,
    axes: Axes,
    scale: float | None,
) -> Descriptor:
    q, k, v = tensors
    token_axis = 1 if axes is Axes.BSHD else 2
    tokens = k.shape[token_axis]
    if v.shape[token_axis] != tokens:
        raise InvalidArgumentError(
            f"k has {tokens} tokens along axis {token_axis} and v {v.shape[token_axis]}; "
            "they must have the same"
        )
    assert q.dtype is not None
    assert k.dtype is not None
    return Descriptor(
        batch=q.shape[0],
        q_heads=q.shape[1],
        kv_heads=k.shape[3 - token_axis],
        max_kv_len=tokens if table is None else table.shape[1] * tokens,
        head_dim=q.shape[2],
        head_dim_v=v.shape[3],
        scale=0.0 if scale is None else scale,
        q_dtype=q.dtype,
        kv_dtype=k.dtype,
        page_size=0 if table is None else tokens,
        num_pages=0 if table is None else min(k.shape[0], v.shape[0]),
        alignment=_alignment([*tensors, *written], q.dtype.itemsize),
    )


def _alignment(tensors: list[Tensor], itemsize: int) -> int:
    """Return the largest power of two, up to 16, that divides all pointers and strides in bytes."""
    bits = 16
    for tensor in tensors:
        bits |= tensor.pointer
        for extent, stride in zip(tensor.shape[:-1], tensor.strides[:-1], strict=True):
            if extent > 1:
                bits |= stride * itemsize
    return max(bits & -bits, itemsize)


@functools.lru_cache(maxsize=_PLANS)
def _plan_for(desc: Descriptor, device: str, variables: tuple[str | None, ...]) -> Plan:
    backend = Backend.CPU if device == "cpu" else Backend.CUDA
    return Plan.select(desc, PlanPreference(prefer_backend=backend))


def _workspace_for(plan: Plan, like: Any) -> Workspace | None:
    """One growing buffer per thread on the CPU; on a GPU the library's allocator orders reuse."""
    if plan.backend is not Backend.CPU or plan.workspace_size == 0:
        return Workspace.allocate(plan, like, prepared=False)
    kept: Workspace | None = getattr(_scratch, "workspace", None)
    if kept is None or kept.nbytes < plan.workspace_size:
        kept = _scratch.workspace = Workspace.allocate(plan)
    return kept
