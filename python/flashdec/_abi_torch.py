"""Mirror of ``flashdec_torch.h``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flashdec._abi import bind
from flashdec._abi_dlpack import METH_FASTCALL, METH_KEYWORDS, CMethodDef, new_function

__all__ = ["make_method", "register"]

register = bind("flashdec_torch_register")
_method = bind("flashdec_torch_method")

_definitions: list[CMethodDef] = []  # Python keeps their addresses


def make_method(name: str, operation: Callable[..., Any]) -> Callable[..., Any]:
    """Make a function of Python from the method of an operator.

    It calls `operation` where somebody has to see the call, or something is wrong.
    """
    encoded = name.encode()
    _definitions.append(CMethodDef(encoded, _method(encoded), METH_FASTCALL | METH_KEYWORDS, None))
    function: Callable[..., Any] = new_function(_definitions[-1], operation, None)
    return function
