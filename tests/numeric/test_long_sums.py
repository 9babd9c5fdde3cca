"""Sums along the tokens do not drift: rule 7 holds for any length, even for equal terms."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from kit.arrays import build
from kit.case import DTYPES, Case
from kit.compare import check


@pytest.mark.parametrize("split_len", [0, 1 << 16])
@pytest.mark.parametrize("dtype", DTYPES)
def test_equal_values(kernel: Any, dtype: str, split_len: int) -> None:
    """Adding one number over and over rounds the same way each time, unless the error is kept."""
    backend, name = kernel
    case = Case(dtype, 1, 1, 2, 8, 8, 50_000, split_len=split_len)
    arrays = build(case, kind="zero")
    arrays.q[...] = 0
    arrays.v[...] = 0.7
    check(case, arrays, backend.run(case, arrays, name))


@pytest.mark.parametrize("group", [1, 4])
@pytest.mark.parametrize("dtype", DTYPES)
def test_equal_weights(kernel: Any, dtype: str, group: int) -> None:
    """Weights that are no round numbers: all tokens but the first are as much below the largest."""
    backend, name = kernel
    case = Case(dtype, 256, 1, group, 8, 8, 2050, scale=1.0, split_len=1 << 16)
    arrays = build(case, kind="zero")
    arrays.q[...] = 0
    arrays.q[..., 0] = 1
    arrays.k[...] = 0
    rng = np.random.default_rng(0)
    arrays.k[:, 0, :, 0] = rng.uniform(0, 5, case.batch)[:, None]
    arrays.v[...] = rng.uniform(1, 2, case.batch)[:, None, None, None]
    check(case, arrays, backend.run(case, arrays, name))


@pytest.mark.parametrize("group", [1, 4, 5, 8])
@pytest.mark.parametrize("dim", [128, 256])
def test_equal_products(kernel: Any, dim: int, group: int) -> None:
    """Two equal scores, the one of equal products, which a long chain of sums rounds alike."""
    backend, name = kernel
    case = Case("float16", 64, 1, group, dim, 8, 2)
    arrays = build(case, kind="zero")
    rng = np.random.default_rng(0)
    q, k = rng.uniform(1, 2, (2, case.batch, 1, 1)).astype(np.float16)
    q[0], k[0] = 1.4296875, 1.388671875
    q[1], k[1] = 1.611328125, 1.22265625
    arrays.q[...] = q
    arrays.k[:, 0] = k
    arrays.k[:, 1] = 0
    arrays.k[:, 1, :, :4] = k * (dim // 4)
    arrays.v[:, 0] = 1
    arrays.v[:, 1] = -1
    check(case, arrays, backend.run(case, arrays, name))


def test_inf_stays_inf(kernel: Any) -> None:
    """The error that is kept is Inf - Inf there, and must not turn the sum into NaN."""
    backend, name = kernel
    case = Case("float32", 1, 1, 1, 8, 8, 700, split_len=256)
    arrays = build(case)
    arrays.q[...] = 0
    arrays.v[0, 3, 0, 1] = np.inf
    result = backend.run(case, arrays, name)
    assert np.isposinf(result.o[0, 0, 1])
    assert np.isfinite(np.delete(result.o[0, 0], 1)).all()
