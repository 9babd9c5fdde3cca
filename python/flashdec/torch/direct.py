"""The way around PyTorch's dispatcher, which costs the host as much as the launch itself.

`decode` and `append` take what the methods of ``flashdec_torch.h`` take and return a
status.  Where it is not 0 nothing has been done, and the operator says why.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, is_grad_enabled
from torch.compiler import is_compiling

from flashdec._abi_dlpack import make_method
from flashdec._abi_torch import APPEND, DECODE
from flashdec.tensor import reader_of

__all__ = ["append", "decode", "empty_like", "is_open", "tell_of_writes"]

_READER = reader_of(torch.empty(0), "tensor").address

decode = make_method(DECODE, _READER)
append = make_method(APPEND, _READER)

_dispatch_modes: Any = torch._C._len_torch_dispatch_stack
_function_modes: Any = torch._C._len_torch_function_stack
_increment_version: Any = torch._C._increment_version


def is_open(first: Any, *others: Any) -> bool:
    """Return whether nobody else listens: no compiler, no mode, no gradient.

    Of subclasses only the first one's is looked at: those without memory of their own cannot be
    read, and go to the operator for that.
    """
    if is_compiling() or type(first) is not Tensor or _dispatch_modes() or _function_modes():
        return False
    if is_grad_enabled():
        for tensor in (first, *others):
            if tensor is not None and tensor.requires_grad:
                return False
    return True


def empty_like(tensor: Any) -> Any:
    """Return memory for a result of that shape, rows side by side."""
    if tensor.is_contiguous():
        return torch.empty_like(tensor)
    return torch.empty_like(tensor, memory_format=torch.contiguous_format)


def tell_of_writes(k_cache: Any, v_cache: Any, *others: Any) -> None:
    """Let autograd know that tensors, of which the others may be None, are about to be written.

    Refuses those that PyTorch lets nobody write to now.
    """
    written: tuple[Any, ...] = (k_cache, v_cache)
    for tensor in others:
        if tensor is not None:
            written = (*written, tensor)
    _increment_version(written)
