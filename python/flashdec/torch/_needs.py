"""Refuses a PyTorch that is absent or too old, in one sentence."""

from __future__ import annotations

_REMEDY = "pip install 'flashdec[torch]'"

try:
    import torch
except ImportError:
    raise ImportError(f"flashdec.torch needs PyTorch, which is not installed: {_REMEDY}") from None

# Through this table C reads a tensor in 0.05 µs.
if not hasattr(torch.Tensor, "__dlpack_c_exchange_api__"):
    raise ImportError(f"torch is {torch.__version__}; flashdec.torch needs 2.10: {_REMEDY}")
