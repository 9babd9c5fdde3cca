"""Mirror of ``flashdec_torch.h``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flashdec._abi import bind
from flashdec._abi_dlpack import METH_FASTCALL, CMethodDef, new_function

__all__ = ["make_method", "register"]

register = bind("flashdec_torch_register")
_method = bind("flashdec_torch_method")

_definitions: list[CMethodDef] = []  # Python keeps their addresses


def make_method(name: str) -> Callable[..., Any]:
    """Make a function of Python from the method of an operator."""
    _definitions.append(CMethodDef(name.encode(), _method(name.encode()), METH_FASTCALL, None))
    function: Callable[..., Any] = new_function(_definitions[-1], None, None)
    return function
