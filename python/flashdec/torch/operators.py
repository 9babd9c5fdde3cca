"""``torch.ops.flashdec``: defined by the library, with the shapes of results for tracing."""

from __future__ import annotations

from typing import Any

import torch

from flashdec import _abi
from flashdec._abi_torch import register

__all__: list[str] = []

_abi.check(register())


def _refuse_gradients(*tensors: Any) -> None:
    """Refuse what the operators refuse before a program that has been traced is run."""
    for tensor in tensors:
        if tensor.requires_grad and torch.is_grad_enabled():
            raise RuntimeError(
                f"a tensor of shape {tuple(tensor.shape)} requires grad; flashdec has no backward "
                "pass: call it under torch.no_grad(), or pass what .detach() returns"
            )


def _refuse_other_devices(first: Any, *others: Any) -> None:
    """Refuse tensors of several devices: what traces them would not see it."""
    for other in others:
        if isinstance(other, torch.Tensor) and other.device != first.device:
            raise RuntimeError(
                f"a tensor of shape {tuple(other.shape)} is on {other.device} and another on "
                f"{first.device}; all must be on one device"
            )


def _refuse_ranks(*tensors: tuple[str, Any, int]) -> None:
    for name, tensor, rank in tensors:
        if tensor.dim() != rank:
            raise RuntimeError(f"{name} has {tensor.dim()} dimensions; it must have {rank}")


def _rows(like: Any, shape: Any) -> Any:
    return torch.empty(shape, dtype=torch.float32, device=like.device)


def _decode(q: Any, k: Any, v: Any, *rest: Any, **more: Any) -> Any:
    _refuse_gradients(q, k, v)
    _refuse_other_devices(q, k, v, *rest, *more.values())
    _refuse_ranks(("q", q, 3), ("v", v, 4))
    return q.new_empty((*q.shape[:-1], v.shape[-1]))


def _decode_lse(q: Any, k: Any, v: Any, *rest: Any, **more: Any) -> tuple[Any, Any]:
    return _decode(q, k, v, *rest, **more), _rows(q, q.shape[:-1])


def _append(k: Any, v: Any, *rest: Any, **more: Any) -> None:
    _refuse_gradients(k, v)
    _refuse_other_devices(k, v, *rest, *more.values())


def _append_rotary(q: Any, k: Any, v: Any, *rest: Any, **more: Any) -> Any:
    _refuse_gradients(q, k, v)
    _refuse_other_devices(q, k, v, *rest, *more.values())
    return q.new_empty(q.shape)


def _merge(o: Any, lse: Any, base2: bool = False) -> tuple[Any, Any]:
    _refuse_gradients(o, lse)
    _refuse_other_devices(o, lse)
    _refuse_ranks(("o", o, 4), ("lse", lse, 3))
    return o.new_empty(o.shape[1:]), _rows(o, o.shape[1:-1])


_SHAPES: dict[str, Any] = {
    "decode": _decode,
    "decode_lse": _decode_lse,
    "append": _append,
    "append_rotary": _append_rotary,
    "merge": _merge,
}
for _name, _fake in _SHAPES.items():
    torch.library.register_fake(f"flashdec::{_name}", _fake)
