"""Warps that keep in step, on the host thread by thread (launches.py)."""

from __future__ import annotations

import ctypes
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from launches import H200, USUAL, check, emulate, make_arrays
from planner import BATCH_INVARIANT, NO_SM90A


def pace(library: Any) -> tuple[int, int]:
    """Tiles that paced warps have counted, and how often one has waited for the others."""
    tiles, stalls = ctypes.c_uint32(), ctypes.c_uint32()
    library.unit_pace(ctypes.byref(tiles), ctypes.byref(stalls))
    return tiles.value, stalls.value


@pytest.mark.parametrize(
    ("lengths", "more"),
    [
        (3300, {}),  # the host knows it
        ((3300,), {}),
        ((3170,), {"page_size": 16}),
        ((1700,) * 2, {"batch": 2, "page_size": 16}),
        (3300, {"flags": BATCH_INVARIANT, "split_len": 128}),
        (3300, {"kv_heads": 2, "blocks": 3}),  # a block has nothing to do, and does not count
        ((3300,) * 2, {"batch": 2, "blocks": 3}),
        (3300, {"kv_heads": 4, "blocks": 4}),
        (6400, {"max_kv_len": 6400, "memory_bandwidth": H200}),  # looks every four tiles
        ((6400,), {"max_kv_len": 6400, "memory_bandwidth": H200}),
    ],
)
def test_warps_keep_in_step(emulated: Any, lengths: Any, more: dict[str, Any]) -> None:
    """Those that are ahead wait, which moves no bit; the code without tensor copies never does.

    All tiles are counted, those that are left at the last look, too.
    """
    one = replace(USUAL, batch=1, kv_heads=1, max_kv_len=3300, blocks=1)
    case = replace(one, lengths=lengths, **more)
    arrays, exact = make_arrays(case, np.random.default_rng(9))
    before, waits = pace(emulated)
    o, lse = emulate(emulated, case, arrays)
    counted, waited = pace(emulated)
    check(case, o, lse, exact)
    units = case.batch * case.kv_heads
    tiles = case.kv_heads * sum(-(-n // 32) for n in np.broadcast_to(lengths, (case.batch,)))
    # Of four warps some look a tile later, or up to three, and do not count those.
    later = 0 + 1 + 2 + 3 if more.get("memory_bandwidth") == H200 else 0 + 1 + 0 + 1
    assert counted - before == tiles - later * min(units, case.blocks)
    assert waited > waits
    o_sm80, lse_sm80 = emulate(emulated, replace(case, flags=case.flags | NO_SM90A), arrays)
    assert pace(emulated) == (counted, waited)
    assert np.array_equal(o, o_sm80)
    assert np.array_equal(lse, lse_sm80)


def test_who_waits_and_how_long(emulated: Any) -> None:
    """The others, three warps, have read nothing, or so much that this one is behind, or they
    seem to have had far more left when it began."""
    ahead, more, behind, far_behind, began_later = (
        emulated.unit_wait(tiles) for tiles in (0, -12, 30, 300, -100)
    )
    assert 0 < ahead < more <= 225  # 0.45 of the time of one tile
    assert behind == far_behind == began_later == 0


@pytest.mark.parametrize(
    ("tokens", "more"),
    [
        (3000, {}),  # short
        (3300, {"memory_bandwidth": H200}),  # could serve more than is asked for, and too short
        (6400, {"memory_bandwidth": H200, "page_size": 16}),
        (1700, {"memory_bandwidth": H200, "batch": 2, "lengths": (1700,) * 2}),
        (3300, {"memory_bandwidth": H200, "flags": BATCH_INVARIANT, "split_len": 128}),
        (3300, {"lengths": (500,)}),  # for less than it may be
    ],
)
def test_who_is_not_paced(emulated: Any, tokens: int, more: dict[str, Any]) -> None:
    one = replace(USUAL, batch=1, kv_heads=1, max_kv_len=tokens, blocks=1, lengths=tokens)
    case = replace(one, **more)
    before = pace(emulated)
    emulate(emulated, case, make_arrays(case, np.random.default_rng(9))[0])
    assert pace(emulated) == before
