"""What the processor at hand can run."""

from __future__ import annotations

import pytest

from kit.backends import Cpu


def skip_without(isa: str) -> None:
    """Skip a test of an instruction set that the processor does not have."""
    if reason := Cpu().refusal(isa):
        pytest.skip(reason)
