"""Refuses transformers that are absent or too old, in one sentence."""

from __future__ import annotations

_REMEDY = "pip install 'flashdec[hf]'"
_OLDEST = (5, 0)

try:
    import transformers
except ImportError:
    raise ImportError(
        f"flashdec.hf needs transformers, which is not installed: {_REMEDY}"
    ) from None

if tuple(int(part) for part in transformers.__version__.split(".")[:2]) < _OLDEST:
    raise ImportError(
        f"transformers is {transformers.__version__}; flashdec.hf needs 5.0: {_REMEDY}"
    )
