"""Values at the ends of their range: the bound holds for them as for ordinary ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from kit.arrays import Arrays, build
from kit.case import DTYPES, Case
from kit.compare import check

LENGTHS = (150, 33)


def scaled(name: str, factor: float) -> Callable[[Arrays], None]:
    def change(arrays: Arrays) -> None:
        array = getattr(arrays, name)
        array[...] = (array.astype(np.float32) * np.float32(factor)).astype(array.dtype)

    return change


def tiny_values(arrays: Arrays) -> None:
    """V among the subnormal numbers of float16; of bfloat16 and float32, just above them."""
    least = float(ml_dtypes.finfo(arrays.v.dtype).smallest_normal)
    scaled("v", least * (2.0**-4 if arrays.v.dtype == np.float16 else 2.0**6))(arrays)


def largest_values(arrays: Arrays) -> None:
    """V of one value, the largest of float16 and 2^120 of the others: their mean is that value."""
    arrays.v[...] = 65504.0 if arrays.v.dtype == np.float16 else 2.0**120


def equal_scores(arrays: Arrays) -> None:
    arrays.q[...] = 0


def rising_scores(arrays: Arrays) -> None:
    """Each token is above those before: the maximum moves with every tile."""
    arrays.q[...] = 1
    tokens = np.arange(arrays.k.shape[1], dtype=np.float32).reshape(1, -1, 1, 1)
    arrays.k[...] = (tokens / 4).astype(arrays.k.dtype)


def slowly_rising_scores(arrays: Arrays) -> None:
    """By a factor of 8 in each tile, so that a maximum which is allowed to lag moves in some."""
    rising_scores(arrays)
    arrays.k[...] = (arrays.k.astype(np.float32) / 32).astype(arrays.k.dtype)


def falling_scores(arrays: Arrays) -> None:
    rising_scores(arrays)
    arrays.k[...] = -arrays.k


def one_token_counts(arrays: Arrays) -> None:
    """All other weights vanish, and the one that counts is in the last tile."""
    arrays.q[...] = 1
    arrays.k[...] = -3
    for b, length in enumerate(LENGTHS):
        arrays.k[b, length - 1] = 3


CHANGES = {
    "tiny values": tiny_values,
    "largest values": largest_values,
    "equal scores": equal_scores,
    "rising scores": rising_scores,
    "slowly rising scores": slowly_rising_scores,
    "falling scores": falling_scores,
    "one token counts": one_token_counts,
    "tiny keys": scaled("k", 2.0**-12),
    "wide scores": scaled("q", 30.0),
    "negative zero": scaled("v", -0.0),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_within_the_bound(kernel: Any, dtype: str, change: str) -> None:
    backend, name = kernel
    for split_len in (0, 32):
        case = Case(dtype, 2, 2, 3, 72, 40, 150, LENGTHS, split_len=split_len, seed=17)
        arrays = build(case, kind="zero")
        CHANGES[change](arrays)
        check(case, arrays, backend.run(case, arrays, name))
