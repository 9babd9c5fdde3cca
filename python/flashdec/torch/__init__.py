"""flashdec's verbs as operators of PyTorch: for eager mode, ``torch.compile`` and CUDA graphs.

`decode`, `append`, `append_rotary` and `merge` call ``torch.ops.flashdec``, which run on the
current stream, copy nothing and wait for nothing.  There is no backward pass: a tensor that
requires grad is refused where gradients are on.
"""

from __future__ import annotations

from flashdec.torch import _needs  # noqa: F401  # comes first
from flashdec.torch.cache import KVCache
from flashdec.torch.functions import append, append_rotary, decode, make_workspace, merge

__all__ = ["KVCache", "append", "append_rotary", "decode", "make_workspace", "merge"]
