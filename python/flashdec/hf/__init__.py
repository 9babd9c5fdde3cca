"""flashdec as an attention implementation of Hugging Face transformers.

::

    import flashdec.hf
    flashdec.hf.register()
    model = AutoModelForCausalLM.from_pretrained(name, attn_implementation="fdec")

New tokens are attended to by flashdec, prompts by PyTorch's SDPA.
"""

from __future__ import annotations

from flashdec.hf import _needs  # noqa: F401  # comes first
from flashdec.hf.attention import NAME, register

__all__ = ["NAME", "register"]
