"""NaN and Inf propagate as the formula says, to their (sequence, head) alone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from kit.arrays import Arrays, build
from kit.case import DTYPES, Case
from kit.compare import check, same_bits

CASE = Case("float32", 3, 2, 2, 64, 64, 150, (150, 149, 40), split_len=32, seed=4)
BOTH_HEADS = [2, 3]  # query heads of key/value head 1


def change_k(arrays: Arrays) -> None:
    arrays.k[1, 70, 1, 5] = np.nan


def change_v(arrays: Arrays) -> None:
    arrays.v[1, 70, 1, 5] = np.nan


def change_v_inf(arrays: Arrays) -> None:
    arrays.v[1, 3, 1, 5] = np.inf


def change_q(arrays: Arrays) -> None:
    arrays.q[1, 2, 0] = np.nan


def change_first_tile(arrays: Arrays) -> None:
    """Scores of -inf in the first tiles: p = 0 there, and nothing becomes NaN."""
    arrays.q[1] = np.abs(arrays.q[1])
    arrays.k[1, :33, 1, 0] = -np.inf


def change_all(arrays: Arrays) -> None:
    """Every score -inf: o is 0/0, lse -inf."""
    arrays.q[1] = np.abs(arrays.q[1])
    arrays.k[1, :149, 1, 0] = -np.inf


def change_to_plus_inf(arrays: Arrays) -> None:
    arrays.q[1] = np.abs(arrays.q[1])
    arrays.k[1, 70, 1, 0] = np.inf


CHANGES = {
    "nan in k": (change_k, BOTH_HEADS),
    "nan in v": (change_v, BOTH_HEADS),
    "inf in v": (change_v_inf, BOTH_HEADS),
    "nan in q": (change_q, [2]),
    "-inf scores first": (change_first_tile, BOTH_HEADS),
    "-inf scores only": (change_all, BOTH_HEADS),
    "+inf score": (change_to_plus_inf, BOTH_HEADS),
}


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_contained(kernel: Any, dtype: str, change: str) -> None:
    backend, name = kernel
    mutate, heads = CHANGES[change]
    case = replace(CASE, dtype=dtype)
    clean = backend.run(case, build(case), name)
    assert clean.plan.info.max_splits > 1
    arrays = build(case)
    mutate(arrays)
    result = backend.run(case, arrays, name)
    if change != "inf in v":  # a weight may underflow there: Inf in float64, NaN in float32
        check(case, arrays, result)
    else:
        assert not np.isfinite(result.o[1, heads, 5]).any()
    others = [(b, h) for b in range(3) for h in range(4) if (b, h) not in [(1, x) for x in heads]]
    if "scores" in change or "score" in change:
        others = [(b, h) for b, h in others if b != 1]  # q of the whole sequence was changed
    for b, h in others:
        assert same_bits(result.o[b, h], clean.o[b, h]), (b, h)
        assert same_bits(result.lse[b, h], clean.lse[b, h]), (b, h)


def test_nan_in_one_column_of_v_stays_there(kernel: Any) -> None:
    backend, name = kernel
    arrays = build(CASE)
    change_v(arrays)
    result = backend.run(CASE, arrays, name)
    assert np.isnan(result.o[1, 2, 5])
    assert np.isfinite(np.delete(result.o[1, 2], 5)).all()


def test_all_minus_inf(kernel: Any) -> None:
    backend, name = kernel
    arrays = build(CASE)
    change_all(arrays)
    result = backend.run(CASE, arrays, name)
    assert np.isnan(result.o[1, BOTH_HEADS]).all()
    assert (result.lse[1, BOTH_HEADS] == -np.inf).all()
