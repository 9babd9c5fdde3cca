"""The operators as functions, with keywords."""

from __future__ import annotations

from typing import Any

import torch
from torch.compiler import is_compiling

from flashdec._enums import Backend
from flashdec.decode import describe_problem
from flashdec.errors import InvalidArgumentError
from flashdec.torch import direct
from flashdec.torch._plans import as_current, select
from flashdec.workspace import Workspace

__all__ = ["append", "append_rotary", "decode", "make_workspace", "merge"]


def decode(
    q: Any,
    k: Any,
    v: Any,
    *,
    kv_len: Any = None,
    page_table: Any = None,
    workspace: Any = None,
    scale: float | None = None,
    layout: str = "bshd",
    batch_invariant: bool = False,
    return_lse: bool = False,
    base2: bool = False,
) -> Any:
    """Attention of one new token per sequence over the sequence's key/value cache.

    ``torch.ops.flashdec.decode``, or ``decode_lse`` with `return_lse`.

    Parameters
    ----------
    q : tensor ``[batch, q_heads, head_dim]``
        Queries: float32, float16 or bfloat16, on the CPU or a GPU.
    k, v : tensor ``[batch, capacity, kv_heads, head_dim]``
        The cache, of the dtype of q; with ``layout="bhsd"`` heads come before tokens.  With a page
        table ``[num_pages, page_size, kv_heads, head_dim]``, or heads before tokens.
    kv_len : int32 tensor ``[batch]``, optional
        Tokens of each sequence; None: the capacity.
    page_table : int32 tensor ``[batch, pages]``, optional
        Ids of the pages of each sequence.
    workspace : uint8 tensor, optional
        Of `make_workspace`: then a run on a GPU takes one launch, and leaves it as it was.  One
        run at a time.  On the CPU it is not used.
    scale : float, optional
        Of the scores; None or 0 means ``1 / sqrt(head_dim)``.
    layout : {"bshd", "bhsd"}
        The order of the axes of k and v.
    batch_invariant : bool
        Whether a sequence's bits must not depend on the batch around it.
    return_lse : bool
        Whether to return the logarithm of the sum of exponentials as well.
    base2 : bool
        Whether that is a logarithm to the base 2.

    Returns
    -------
    o : tensor ``[batch, q_heads, head_dim_v]``
        Like q.
    lse : float32 tensor ``[batch, q_heads]``
        Only with `return_lse`.

    Raises
    ------
    RuntimeError
        Where `flashdec.decode` raises, with the same sentence, and if q, k or v requires grad where
        gradients are on.

    Notes
    -----
    Plans are kept by the shapes of the tensors, for each thread; the variables of the environment
    are read when a plan is made.  The transforms of ``torch.func`` are not supported: they hide
    that a gradient is wanted, and get zeros.
    """
    bhsd = _heads_first(layout)
    given = q, k, v, kv_len, page_table, workspace, scale, bhsd, batch_invariant
    verbs = torch.ops.flashdec if is_compiling() else direct
    return verbs.decode_lse(*given, base2) if return_lse else verbs.decode(*given)


def make_workspace(
    q: Any,
    k: Any,
    v: Any,
    *,
    page_table: Any = None,
    scale: float | None = None,
    layout: str = "bshd",
    batch_invariant: bool = False,
) -> Any:
    """Make a prepared workspace for `decode` on such tensors, once.

    It serves any run that needs no more, one after another on one stream.  Whoever writes to it
    makes a new one.

    Parameters
    ----------
    q, k, v, page_table, scale, layout, batch_invariant
        As for `decode`.

    Returns
    -------
    workspace : uint8 tensor
        Empty where none is needed.
    """
    desc = describe_problem(q, k, v, q, page_table, layout, scale)
    plan = select(desc, q.device, batch_invariant)
    with as_current(q.device):
        made = None if plan.backend is Backend.CPU else Workspace.allocate(plan, q)
    return torch.empty(0, dtype=torch.uint8, device=q.device) if made is None else made.owner


def append(
    k: Any,
    v: Any,
    k_cache: Any,
    v_cache: Any,
    kv_len: Any,
    *,
    page_table: Any = None,
    new_len: Any = None,
    status: Any = None,
    layout: str = "bshd",
    advance: bool = False,
) -> None:
    """Write new tokens to the end of each sequence's cache: ``torch.ops.flashdec.append``.

    Parameters
    ----------
    k, v, k_cache, v_cache, page_table, new_len, status, layout, advance
        As for `flashdec.append`.
    kv_len : int32 tensor ``[batch]``
        Tokens in the cache before; grows with `advance`.

    Raises
    ------
    RuntimeError
        Where `flashdec.append` raises, with the same sentence, and if a tensor requires grad where
        gradients are on.

    Notes
    -----
    Under ``torch.compile`` with dynamic shapes give `k_cache` and `v_cache` memory of their own:
    inductor (seen in 2.14) loses what an operator writes to two views of one tensor.
    """
    bhsd = _heads_first(layout)
    verbs = torch.ops.flashdec if is_compiling() else direct
    verbs.append(k, v, k_cache, v_cache, kv_len, page_table, new_len, status, bhsd, advance)


def append_rotary(
    q: Any,
    k: Any,
    v: Any,
    cos: Any,
    sin: Any,
    k_cache: Any,
    v_cache: Any,
    kv_len: Any,
    *,
    positions: Any = None,
    page_table: Any = None,
    new_len: Any = None,
    status: Any = None,
    layout: str = "bshd",
    advance: bool = False,
    interleaved: bool = False,
) -> Any:
    """Append with q and k rotated by their positions: ``torch.ops.flashdec.append_rotary``.

    Parameters
    ----------
    q, k, v, cos, sin, k_cache, v_cache, kv_len, page_table, positions, new_len, status, layout,
    advance, interleaved
        As for `flashdec.append`; kv_len is a tensor.

    Returns
    -------
    q_out : tensor like q
        The rotated queries; not initialised beyond `new_len`.

    Raises
    ------
    RuntimeError
        As `append`.
    """
    bhsd = _heads_first(layout)
    verbs = torch.ops.flashdec if is_compiling() else direct
    return verbs.append_rotary(
        q, k, v, cos, sin, k_cache, v_cache, kv_len, page_table, new_len, status, bhsd, advance,
        positions, interleaved,
    )  # fmt: skip


def merge(o: Any, lse: Any, *, base2: bool = False) -> tuple[Any, Any]:
    """Merge attention over the parts of a cache: ``torch.ops.flashdec.merge``.

    Parameters
    ----------
    o : tensor ``[parts, batch, heads, head_dim]``
        Results of `decode` over each part.
    lse : tensor ``[parts, batch, heads]``
        The logarithms that belong to them.
    base2 : bool
        Whether lse is a logarithm to the base 2.

    Returns
    -------
    out, lse_out : tensors
        As `flashdec.merge`.

    Raises
    ------
    RuntimeError
        As `append`.
    """
    verbs = torch.ops.flashdec if is_compiling() else direct
    merged: tuple[Any, Any] = verbs.merge(o, lse, base2)
    return merged


def _heads_first(layout: str) -> bool:
    if layout == "bshd":
        return False
    if layout == "bhsd":
        return True
    raise InvalidArgumentError(f'layout is {layout!r}; it must be "bshd" or "bhsd"')
