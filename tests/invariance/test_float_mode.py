"""What a caller has set for its floating point changes no bit (CPU)."""

from __future__ import annotations

import ctypes
import platform
from typing import Any

import numpy as np
import pytest

import flashdec
from kit.backends import Cpu, environment
from kit.processor import skip_without

FE_UPWARD, FE_TONEAREST = 0x400000 if platform.machine() == "aarch64" else 0x800, 0


@pytest.mark.parametrize("isa", Cpu().kernels())
def test_rounding_mode_of_the_caller(isa: Any) -> None:
    skip_without(isa)
    libm = ctypes.CDLL("libm.so.6")
    rng = np.random.default_rng(0)
    q = rng.standard_normal((1, 4, 64), np.float32)
    k, v = (rng.standard_normal((1, 3000, 4, 64), np.float32) for _ in range(2))
    with environment(FLASHDEC_ISA=isa, FLASHDEC_NUM_THREADS="3"):
        want = flashdec.decode(q, k, v)
        libm.fesetround(FE_UPWARD)
        try:
            got = flashdec.decode(q, k, v)
            assert libm.fegetround() == FE_UPWARD
        finally:
            libm.fesetround(FE_TONEAREST)
    assert got.tobytes() == want.tobytes()
