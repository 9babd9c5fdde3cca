"""What the processor at hand can run."""

from __future__ import annotations

import pytest

import flashdec
from kit.backends import environment


def skip_without(isa: str) -> None:
    """Skip a test of an instruction set that the processor does not have."""
    desc = flashdec.Descriptor.new(batch=1, heads=1, max_kv_len=1, head_dim=1)
    with environment(FLASHDEC_ISA=isa):
        try:
            flashdec.Plan.select(desc, flashdec.PlanPreference(prefer_backend="cpu"))
        except flashdec.UnsupportedError as error:
            pytest.skip(str(error))
