"""The way around PyTorch's dispatcher, which costs the host as much as a launch.

Functions by the names of the operators, with their parameters.  Where a subclass, mode, tracer,
profiler or gradient has to see the call, or something is wrong, they call the operator as PyTorch
does.  ``torch.ops.flashdec`` calls them too, so that programs that name the operators, such as
those that inductor writes, go the same way.  A compiler cannot look into them: callers ask
`torch.compiler.is_compiling` first.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain
from typing import Any

import torch

from flashdec._abi_torch import make_method
from flashdec.errors import InvalidArgumentError
from flashdec.torch import operators  # noqa: F401  # defines them

__all__ = ["append", "append_rotary", "decode", "decode_lse", "merge"]


def _shorten(name: str) -> Callable[..., Any]:
    packet = getattr(torch.ops.flashdec, name)
    overload = packet.default
    method = make_method(name, _explain(overload))
    method.__module__ = packet.__module__
    for each in (packet, overload):
        each._op = method
    torch.jit._builtins._register_builtin(method, packet._qualified_op_name)  # for TorchScript
    return method


def _explain(overload: Any) -> Callable[..., Any]:
    """Make PyTorch's way of calling an operator say what is not a tensor in a sentence."""
    operation = overload._op
    names = [each.name for each in overload._schema.arguments]
    tensors = {each.name for each in overload._schema.arguments if "Tensor" in str(each.type)}

    def call(*given: Any, **named: Any) -> Any:
        try:
            return operation(*given, **named)
        except RuntimeError:
            for name, value in chain(zip(names, given, strict=False), named.items()):
                if name in tensors and value is not None and not isinstance(value, torch.Tensor):
                    raise InvalidArgumentError(
                        f"{name} is of type {type(value).__name__}; flashdec.torch takes one "
                        "tensor, flashdec itself numbers and pairs of parts too"
                    ) from None
            raise

    return call


decode = _shorten("decode")
decode_lse = _shorten("decode_lse")
append = _shorten("append")
append_rotary = _shorten("append_rotary")
merge = _shorten("merge")
