"""The output is rounded once, to nearest even: exact halves between two numbers show it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from kit.arrays import build
from kit.case import Case
from kit.compare import same_bits


def neighbours(dtype: Any, shape: tuple[int, ...]) -> tuple[Any, Any]:
    """Random positive numbers, and for each the next one."""
    rng = np.random.default_rng(5)
    low = rng.uniform(0.5, 100, shape).astype(dtype)
    return low, (low.view(np.uint16) + 1).astype(np.uint16).view(dtype)


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("tokens", [2, 96])
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_halves_go_to_even(kernel: Any, dtype: str, tokens: int, sign: int) -> None:
    """Equal scores and two values in turn: the mean is a half, exactly, in one split or three."""
    backend, name = kernel
    case = Case(dtype, 2, 2, 3, 16, 200, tokens, split_len=32)
    arrays = build(case)
    arrays.q[...] = 0
    low, high = neighbours(arrays.v.dtype, arrays.v[:, :1].shape)
    arrays.v[:, ::2], arrays.v[:, 1::2] = sign * low, sign * high
    half = sign * (low.astype(np.float32) + high.astype(np.float32)) / 2
    want = np.repeat(half[:, 0].astype(arrays.v.dtype), case.group, axis=1)
    assert same_bits(np.array(backend.run(case, arrays, name).o), want)
