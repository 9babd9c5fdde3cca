"""The way around PyTorch's dispatcher, which costs the host as much as the launch itself.

Functions by the names of the operators, which take all their arguments in the order of the schema.
Where one returns None nothing has been done: a subclass, mode, tracer or gradient has to see the
call, or something is wrong, and the operator says what.  A compiler cannot look into them, so
callers ask `torch.compiler.is_compiling` first.
"""

from __future__ import annotations

from flashdec._abi_torch import make_method

__all__ = ["append", "append_rotary", "decode", "decode_lse", "merge"]

decode = make_method("decode")
decode_lse = make_method("decode_lse")
append = make_method("append")
append_rotary = make_method("append_rotary")
merge = make_method("merge")
