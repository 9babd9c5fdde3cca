"""The way around PyTorch's dispatcher, which costs the host as much as the launch itself.

`decode` and `append` take what the methods of ``flashdec_torch.h`` take and return a
status.  Where it is not 0 nothing has been done, and the operator says why.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, bfloat16, is_grad_enabled, is_inference_mode_enabled
from torch.compiler import is_compiling

from flashdec._abi_dlpack import make_method
from flashdec._abi_torch import APPEND, DECODE
from flashdec.tensor import reader_of

__all__ = ["append", "decode", "empty_like", "is_open", "may_write", "tell_of_writes"]

_READER = reader_of(torch.empty(0), "tensor").address

decode = make_method(DECODE, _READER)
append = make_method(APPEND, _READER)

_dispatch_modes: Any = torch._C._len_torch_dispatch_stack
_function_modes: Any = torch._C._len_torch_function_stack
_tracing_state: Any = torch._C._get_tracing_state
_increment_version: Any = torch._C._increment_version


def is_open(first: Any, *others: Any) -> bool:
    """Return whether nobody else listens: no compiler, tracer, mode or gradient.

    Of subclasses only the first one's is looked at: those without memory of their own cannot be
    read, and go to the operator for that.
    """
    if (
        is_compiling()
        or type(first) is not Tensor
        or _dispatch_modes()
        or _function_modes()
        or _tracing_state() is not None
    ):
        return False
    if is_grad_enabled() and _any_requires_grad(first, *others):
        return False
    return first.dtype is bfloat16 or not _any_is_negated(first, *others)


def _any_requires_grad(*tensors: Any) -> bool:
    return any(tensor is not None and tensor.requires_grad for tensor in tensors)


def _any_is_negated(*tensors: Any) -> bool:
    """Return whether one is part of a conjugate, whose sign is not in its memory."""
    return any(tensor is not None and tensor.is_neg() for tensor in tensors)


def may_write(k_cache: Any, v_cache: Any) -> bool:
    """Return whether PyTorch lets anybody write to caches now; autograd knows of it then."""
    if not is_inference_mode_enabled() and (k_cache.is_inference() or v_cache.is_inference()):
        return False
    _increment_version((k_cache, v_cache))
    return True


def empty_like(tensor: Any) -> Any:
    """Return memory for a result of that shape, rows side by side."""
    if tensor.is_contiguous():
        return torch.empty_like(tensor)
    return torch.empty_like(tensor, memory_format=torch.contiguous_format)


def tell_of_writes(*tensors: Any) -> None:
    """Let autograd know that other tensors, of which some may be None, have been written."""
    _increment_version([tensor for tensor in tensors if tensor is not None])
