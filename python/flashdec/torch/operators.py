"""``torch.ops.flashdec``: schemas, what is computed, and the shapes of it for tracing."""

from __future__ import annotations

from typing import Any

import torch

from flashdec.errors import InvalidArgumentError
from flashdec.torch.runner import (
    refuse_gradients,
    refuse_other_devices,
    run_append,
    run_decode,
    run_merge,
    tell_of_writes,
)

_CACHE = "Tensor(a!) k_cache, Tensor(b!) v_cache, Tensor(c!) kv_len"
_PLACES = (
    "Tensor? page_table=None, Tensor? new_len=None, Tensor(d!)? status=None, "
    "str layout='bshd', bool advance=False"
)
_DECODE = (
    "(Tensor q, Tensor k, Tensor v, Tensor? kv_len=None, Tensor? page_table=None, "
    "Tensor? workspace=None, float? scale=None, str layout='bshd', "
    "bool batch_invariant=False"
)
_SCHEMAS = {
    "decode": f"{_DECODE}) -> Tensor",
    "decode_lse": f"{_DECODE}, bool base2=False) -> (Tensor, Tensor)",
    "append": f"(Tensor k, Tensor v, {_CACHE}, {_PLACES}) -> ()",
    "append_rotary": (
        f"(Tensor q, Tensor k, Tensor v, Tensor cos, Tensor sin, {_CACHE}, {_PLACES}, "
        "Tensor? positions=None, bool interleaved=False) -> Tensor"
    ),
    "merge": "(Tensor o, Tensor lse, bool base2=False) -> (Tensor, Tensor)",
}

_make_library: Any = torch.library.Library
_library = _make_library("flashdec", "DEF")
for _name, _schema in _SCHEMAS.items():
    _library.define(_name + _schema)


def _decode(
    q: Any, k: Any, v: Any, kv_len: Any = None, page_table: Any = None, workspace: Any = None,
    scale: float | None = None, layout: str = "bshd", batch_invariant: bool = False,
) -> Any:  # fmt: skip
    refuse_gradients(q, k, v)
    o = _like_output(q, v)
    run_decode(
        q, k, v, o, None, kv_len, page_table, workspace, scale, layout, batch_invariant, False
    )
    return o


def _decode_lse(
    q: Any, k: Any, v: Any, kv_len: Any = None, page_table: Any = None, workspace: Any = None,
    scale: float | None = None, layout: str = "bshd", batch_invariant: bool = False,
    base2: bool = False,
) -> tuple[Any, Any]:  # fmt: skip
    refuse_gradients(q, k, v)
    o, lse = _like_output(q, v), _like_lse(q)
    run_decode(
        q, k, v, o, lse, kv_len, page_table, workspace, scale, layout, batch_invariant, base2
    )
    return o, lse


def _like_output(q: Any, v: Any) -> Any:
    for name, tensor, rank in (("q", q, 3), ("v", v, 4)):
        if tensor.dim() != rank:
            raise InvalidArgumentError(f"{name} has {tensor.dim()} dimensions; it must have {rank}")
    if v.shape[-1] == q.shape[-1]:
        return torch.empty_like(q)
    return q.new_empty((*q.shape[:-1], v.shape[-1]))


def _like_lse(q: Any) -> Any:
    return torch.empty(q.shape[:-1], dtype=torch.float32, device=q.device)


def _append(
    k: Any, v: Any, k_cache: Any, v_cache: Any, kv_len: Any, page_table: Any = None,
    new_len: Any = None, status: Any = None, layout: str = "bshd", advance: bool = False,
) -> None:  # fmt: skip
    refuse_gradients(k, v, k_cache, v_cache)
    run_append(
        layout, advance, False, k, v, k_cache, v_cache, kv_len, None, None, None, None,
        None, new_len, page_table, status,
    )  # fmt: skip
    tell_of_writes(k_cache, v_cache, kv_len if advance else None, status)


def _append_rotary(
    q: Any, k: Any, v: Any, cos: Any, sin: Any, k_cache: Any, v_cache: Any, kv_len: Any,
    page_table: Any = None, new_len: Any = None, status: Any = None, layout: str = "bshd",
    advance: bool = False, positions: Any = None, interleaved: bool = False,
) -> Any:  # fmt: skip
    refuse_gradients(q, k, v, cos, sin, k_cache, v_cache)
    out = torch.empty_like(q)
    run_append(
        layout, advance, interleaved, k, v, k_cache, v_cache, kv_len, q, out, cos, sin,
        positions, new_len, page_table, status,
    )  # fmt: skip
    tell_of_writes(k_cache, v_cache, kv_len if advance else None, status)
    return out


def _merge(o: Any, lse: Any, base2: bool = False) -> tuple[Any, Any]:
    refuse_gradients(o, lse)
    out, lse_out = _merged_like(o, lse)
    run_merge(base2, o, lse, out, lse_out)
    return out, lse_out


def _merged_like(o: Any, lse: Any, base2: bool = False) -> tuple[Any, Any]:
    rows = torch.empty(lse.shape[1:], dtype=torch.float32, device=o.device)
    return o.new_empty(o.shape[1:]), rows


def _fake_merge(o: Any, lse: Any, base2: bool = False) -> tuple[Any, Any]:
    refuse_other_devices(o, lse)
    return _merged_like(o, lse)


def _fake_decode(q: Any, k: Any, v: Any, *rest: Any, **more: Any) -> Any:
    refuse_gradients(q, k, v)
    refuse_other_devices(q, k, v, *rest, *more.values())
    return _like_output(q, v)


def _fake_decode_lse(q: Any, k: Any, v: Any, *rest: Any, **more: Any) -> tuple[Any, Any]:
    return _fake_decode(q, k, v, *rest, **more), _like_lse(q)


def _fake_append(k: Any, v: Any, *rest: Any, **more: Any) -> None:
    refuse_gradients(k, v)
    refuse_other_devices(k, v, *rest, *more.values())


def _fake_append_rotary(q: Any, k: Any, v: Any, *rest: Any, **more: Any) -> Any:
    refuse_gradients(q, k, v)
    refuse_other_devices(q, k, v, *rest, *more.values())
    return torch.empty_like(q)


_IMPLEMENTATIONS: dict[str, tuple[Any, Any]] = {  # what it computes, and what it would return
    "decode": (_decode, _fake_decode),
    "decode_lse": (_decode_lse, _fake_decode_lse),
    "append": (_append, _fake_append),
    "append_rotary": (_append_rotary, _fake_append_rotary),
    "merge": (_merge, _fake_merge),
}
for _name, (_computes, _fakes) in _IMPLEMENTATIONS.items():
    for _device in ("CPU", "CUDA"):
        _library.impl(_name, _computes, _device)
    torch.library.register_fake(f"flashdec::{_name}", _fakes, lib=_library)
