"""Strides of 0 along any axis, and outputs whose axes lie in another order."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from kit.arrays import SENTINEL, Arrays, build
from kit.case import TILE, Case
from kit.compare import check, same_bits

# One token past a tile is where a kernel that copies whole tiles errs.
LENGTHS = (8 * TILE + 1, TILE + 1, 1, 3 * TILE + 1)
CASE = Case("bfloat16", 4, 2, 4, 64, 64, 300, LENGTHS, split_len=2 * TILE, seed=21)

BROADCAST = {
    "batch": (slice(0, 1), slice(None), slice(None)),
    "tokens": (slice(None), slice(0, 1), slice(None)),
    "heads": (slice(None), slice(None), slice(0, 1)),
    "everything": (slice(0, 1), slice(0, 1), slice(0, 1)),
}


def repeated(array: Any, index: Any) -> Any:
    """The chosen part of an array, with a stride of 0 to the shape of the whole."""
    return np.broadcast_to(array[index], array.shape)


def verify(kernel: Any, case: Case, arrays: Arrays) -> None:
    """The result is right, and has the bits of the same inputs in packed arrays."""
    backend, name = kernel
    result = backend.run(case, arrays, name)
    assert result.plan.info.max_splits > 1
    check(case, arrays, result)
    packed = build(case)
    for field in ("q", "k", "v", "page_table"):
        array = getattr(arrays, field)
        setattr(packed, field, None if array is None else np.array(array, order="C"))
    dense = backend.run(case, packed, name, plan=result.plan)
    assert same_bits(result.o, dense.o)
    assert same_bits(result.lse, dense.lse)


@pytest.mark.parametrize("which", ["k", "v", "both"])
@pytest.mark.parametrize("axis", BROADCAST)
def test_cache_that_repeats_itself(kernel: Any, axis: str, which: str) -> None:
    arrays = build(replace(CASE, lengths=None), kind="zero")
    arrays.kv_len = np.array(LENGTHS, np.int32)
    if which != "v":
        arrays.k = repeated(arrays.k, BROADCAST[axis])
    if which != "k":
        arrays.v = repeated(arrays.v, BROADCAST[axis])
    verify(kernel, CASE, arrays)


@pytest.mark.parametrize("axis", ["batch", "heads", "everything"])
def test_queries_that_repeat_themselves(kernel: Any, axis: str) -> None:
    batch, _, heads = BROADCAST[axis]
    arrays = build(CASE)
    arrays.q = repeated(arrays.q, (batch, heads))
    verify(kernel, CASE, arrays)


@pytest.mark.parametrize("page_size", [1, 16, 100])
def test_one_row_of_the_table_for_all(kernel: Any, page_size: int) -> None:
    case = replace(CASE, page_size=page_size)
    arrays = build(case)  # the first sequence is the longest: its row serves the others
    arrays.page_table = repeated(arrays.page_table, slice(0, 1))
    verify(kernel, case, arrays)


@pytest.mark.parametrize("page_size", [0, 16])
def test_outputs_with_heads_outside(kernel: Any, page_size: int) -> None:
    """The batch is the inner axis of o and lse, with room between the rows."""
    backend, name = kernel
    case = replace(CASE, page_size=page_size)
    arrays = build(case)
    want = backend.run(case, arrays, name)
    shape = (case.q_heads + 2, case.batch + 1, case.head_dim_v + 8)
    arrays.slab = np.empty(shape, arrays.q.dtype)
    arrays.slab.view(np.uint8)[...] = SENTINEL
    arrays.o = arrays.slab[1:-1, :-1, :-8].swapaxes(0, 1)
    result = backend.run(case, arrays, name)
    check(case, arrays, result)
    assert same_bits(np.ascontiguousarray(result.o), np.ascontiguousarray(want.o))


def test_room_between_the_rows_of_lse_is_left_alone(kernel: Any) -> None:
    backend, name = kernel
    arrays = build(CASE)
    want = backend.run(CASE, arrays, name).lse
    whole = np.full((CASE.batch + 2, CASE.q_heads + 2, 3), 7, np.float32)
    arrays.lse = whole[1:-1, 1:-1, 1]
    arrays.slab = whole  # what comes back besides o
    result = backend.run(CASE, arrays, name)
    assert same_bits(np.ascontiguousarray(result.lse), np.ascontiguousarray(want))
    inside = np.zeros(whole.shape, bool)
    inside[1:-1, 1:-1, 1] = True
    assert (result.slab[~inside] == 7).all()
