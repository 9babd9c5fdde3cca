"""What a launch keeps for the next one (cuda/tensor/ready.h) never decides what that one gives.

A thread keeps what its last launch was made of, and takes it again if nothing but addresses has
changed.  Here two runs in a row differ in one respect; the second gives what it gives alone.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from launches import H200, USUAL, Array, Arrays, Case, check, emulate, make_arrays
from planner import BATCH_INVARIANT, F16, NO_SM90A

CASE = replace(USUAL, max_kv_len=300, lengths=300, blocks=8)  # in two parts each
PAGED = replace(CASE, page_size=16)
OTHER_ROW = Case(
    dtype=F16, batch=1, kv_heads=1, group=9, head_dim=64, head_dim_v=64, max_kv_len=30, lengths=30
)  # fmt: skip
NEIGHBOURS = {
    "a length": (CASE, replace(CASE, lengths=100)),
    "lengths on the device": (CASE, replace(CASE, lengths=(300, 20))),
    "no lengths on the device": (replace(CASE, lengths=(300, 20)), CASE),
    "other lengths there": (replace(CASE, lengths=(300, 20)), replace(CASE, lengths=(20, 300))),
    "the longest": (CASE, replace(CASE, max_kv_len=400, lengths=400)),
    "batch": (CASE, replace(CASE, batch=3)),
    "heads": (CASE, replace(CASE, kv_heads=3)),
    "group": (CASE, replace(CASE, group=7)),
    "head_dim": (CASE, replace(CASE, head_dim=104)),
    "head_dim_v": (CASE, replace(CASE, head_dim_v=120)),
    "blocks": (CASE, replace(CASE, blocks=3)),
    "no prepared workspace": (CASE, replace(CASE, prepared=False)),
    "a prepared workspace": (replace(CASE, prepared=False), CASE),
    "pages": (CASE, PAGED),
    "no pages": (PAGED, CASE),
    "page size": (PAGED, replace(PAGED, page_size=8)),
    "memory": (CASE, replace(CASE, memory_bandwidth=H200)),
    "fixed splits": (CASE, replace(CASE, flags=BATCH_INVARIANT, split_len=128)),
    "a refusal": (replace(CASE, refuses_together=True), CASE),
    "nothing": (CASE, CASE),
}


def heads_first(array: Array) -> Array:
    """The same values, with heads before what stands before them."""
    return np.ascontiguousarray(array.swapaxes(-3, -2)).swapaxes(-3, -2)


def wider(table: Array) -> Array:
    return np.pad(table, ((0, 0), (0, 5)))[:, :-5]


ELSEWHERE = {
    "q": lambda x: replace(x, q=x.q.copy()),
    "k": lambda x: replace(x, k=x.k.copy()),
    "v": lambda x: replace(x, v=x.v.copy()),
    "table": lambda x: replace(x, table=x.table.copy()),
    "strides of q": lambda x: replace(x, q=heads_first(x.q)),
    "strides of k": lambda x: replace(x, k=heads_first(x.k)),
    "strides of v": lambda x: replace(x, v=heads_first(x.v)),
    "stride of the table": lambda x: replace(x, table=wider(x.table)),
}


def alone(library: Any, case: Case, arrays: Arrays) -> tuple[Array, Array]:
    """After a run of another row of the kernel table."""
    emulate(library, OTHER_ROW, make_arrays(OTHER_ROW, np.random.default_rng(0))[0])
    return emulate(library, case, arrays)


def check_same(got: tuple[Array, Array], want: tuple[Array, Array]) -> None:
    assert np.array_equal(got[0], want[0])
    assert np.array_equal(got[1], want[1])


@pytest.mark.parametrize("flags", [0, NO_SM90A])
@pytest.mark.parametrize("name", NEIGHBOURS)
def test_a_neighbour(emulated: Any, name: str, flags: int) -> None:
    first, second = (replace(case, flags=case.flags | flags) for case in NEIGHBOURS[name])
    before, _ = make_arrays(first, np.random.default_rng(1))
    arrays, exact = make_arrays(second, np.random.default_rng(2))
    want = alone(emulated, second, arrays)
    check(second, *want, exact)
    alone(emulated, first, before)
    check_same(emulate(emulated, second, arrays), want)


@pytest.mark.parametrize("flags", [0, NO_SM90A])
@pytest.mark.parametrize("what", ELSEWHERE)
def test_arrays_that_have_moved(emulated: Any, what: str, flags: int) -> None:
    """Where they were there is something else by then."""
    case = replace(PAGED, flags=flags)
    arrays, exact = make_arrays(case, np.random.default_rng(3))
    moved = ELSEWHERE[what](arrays)
    want = alone(emulated, case, arrays)
    check(case, *want, exact)
    for name in ("q", "k", "v", "table"):
        if getattr(moved, name) is not getattr(arrays, name):
            getattr(arrays, name)[:] = 1
    check_same(emulate(emulated, case, moved), want)


@pytest.mark.parametrize("prepared", [True, False])
def test_results_that_have_moved(emulated: Any, prepared: bool) -> None:
    case = replace(CASE, prepared=prepared)
    arrays, exact = make_arrays(case, np.random.default_rng(4))
    want = alone(emulated, case, arrays)
    check(case, *want, exact)
    for gap, lse_gap in ((2, 0), (0, 0), (0, 2), (0, 0)):
        check_same(emulate(emulated, case, arrays, gap, lse_gap), want)


def test_blocks_that_cannot_be_resident_together_once(emulated: Any) -> None:
    """That run takes two launches, and the next one is as if it had not been."""
    arrays, _ = make_arrays(CASE, np.random.default_rng(5))
    for refuses, launches in ((False, 1), (True, 2), (False, 1)):
        emulate(emulated, replace(CASE, refuses_together=refuses), arrays)
        assert emulated.unit_launches() == launches
