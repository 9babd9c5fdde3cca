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
    tensors = (first, *others)
    if is_grad_enabled():
        for tensor in tensors:
            if tensor is not None and tensor.requires_grad:
                return False
    if first.dtype is not bfloat16:  # a part of a conjugate may have its sign elsewhere
        for tensor in tensors:
            if tensor is not None and tensor.is_neg():
                return False
    return True


def may_write(*tensors: Any) -> bool:
    """Return whether PyTorch lets anybody write to them now; None among them is."""
    if not is_inference_mode_enabled():
        for tensor in tensors:
            if tensor is not None and tensor.is_inference():
                return False
    return True


def empty_like(tensor: Any) -> Any:
    """Return memory for a result of that shape, rows side by side."""
    if tensor.is_contiguous():
        return torch.empty_like(tensor)
    return torch.empty_like(tensor, memory_format=torch.contiguous_format)


def tell_of_writes(*tensors: Any) -> None:
    """Let autograd know that tensors, of which some may be None, are about to be written."""
    _increment_version([tensor for tensor in tensors if tensor is not None])
