"""The tensor-core kernels, run on the host thread by thread (launches.py), against float64."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from launches import USUAL, Arrays, Case, check_twice, emulate, make_arrays
from planner import BATCH_INVARIANT, BF16, F16, NO_SM90A

# dtype, head_dim and groups of the kernels that kernels.cpp has.
CLASSES = (
    (BF16, (104, 128), (1, 3, 4, 8)),
    (BF16, (136, 192), (1, 4, 9, 16)),
    (F16, (8, 64), (9, 12, 16, 40)),
)


def random_case(seed: int) -> Case:
    draw = random.Random(seed)
    dtype, (least, most), groups = draw.choice(CLASSES)
    head_dim = draw.choice([most, draw.randrange(least, most, 8)])
    max_kv_len = draw.choice([draw.randint(1, 200), draw.randint(200, 1200)])
    batch = draw.choice([1, 2, 3, 5]) if max_kv_len > 200 else draw.choice([1, 4, 35])
    kind = draw.choice(["host", "device", "differ"])
    one = draw.choice([max_kv_len, draw.randint(0, max_kv_len)])
    lengths: tuple[int, ...] | int = one
    if kind == "device":
        lengths = (one,) * batch
    elif kind == "differ":
        choices = [
            0,
            1,
            max_kv_len,
            -1,
            max_kv_len + 1,
            *(draw.randint(0, max_kv_len) for _ in "123456"),
        ]
        lengths = tuple(draw.choice(choices) for _ in range(batch))
    invariant = draw.random() < 0.35
    return Case(
        dtype=dtype,
        batch=batch,
        kv_heads=draw.choice([1, 2, 3]),
        group=draw.choice(groups),
        head_dim=head_dim,
        head_dim_v=draw.choice([head_dim, max(8, head_dim - 24)]),
        max_kv_len=max_kv_len,
        lengths=lengths,
        page_size=draw.choice([0, 0, 8, 16, 48]),
        blocks=draw.choice([1, 3, 4, 7]),
        flags=draw.choice([0, NO_SM90A]) | (BATCH_INVARIANT if invariant else 0),
        split_len=draw.choice([0, 128, 200]) if invariant else 0,
        prepared=draw.random() < 0.8,
        refuses_together=draw.random() < 0.1,
        resident=draw.choice([0, 0, 1, 2, 3]),
        seed=seed + 1,
    )


@pytest.mark.parametrize("seed", range(40))
def test_random_cases(emulated: Any, seed: int) -> None:
    check_twice(emulated, random_case(seed), seed)


@pytest.mark.parametrize("length", [1, 15, 33, 200, 689, 700])
@pytest.mark.parametrize("page_size", [0, 8, 16, 32])
@pytest.mark.parametrize("units", [1, 2])
def test_the_tile_asked_for_ahead(emulated: Any, units: int, page_size: int, length: int) -> None:
    """Lengths on the device that are equal, and not the longest; unused page ids are bad."""
    case = replace(
        USUAL, batch=units, kv_heads=units, lengths=(length,) * units, page_size=page_size
    )
    check_twice(emulated, case, length)


@pytest.mark.parametrize("page_size", [0, 16])
@pytest.mark.parametrize(
    ("blocks", "lengths"),
    [
        (4, (700,) * 6),
        (4, (700, 700, 40, 650, 300, 700)),
        (4, (129, 257, 300, 1, 0, 256)),
        (3, (260,) * 5 + (-1,)),
    ],
)
def test_blocks_that_begin_before_the_lengths(
    emulated: Any, blocks: int, lengths: tuple[int, ...], page_size: int
) -> None:
    """Whole units for every block: one or two tiles are asked for, right whether lengths differ."""
    case = replace(USUAL, batch=len(lengths), lengths=lengths, blocks=blocks, page_size=page_size)
    for seed in range(3):
        check_twice(emulated, replace(case, seed=seed), seed)


def test_one_block_ends_more_strips_than_the_shelf_holds(emulated: Any) -> None:
    """Six are a tile longer than what a block takes, and the seventh block takes six such tiles."""
    case = replace(USUAL, batch=7, kv_heads=1, blocks=7, max_kv_len=300, lengths=(256,) * 6 + (20,))
    for seed in range(3):
        check_twice(emulated, replace(case, seed=seed), seed)


@pytest.mark.parametrize("kv_heads", [1, 3])
def test_more_pieces_than_a_warp_can_see(emulated: Any, kv_heads: int) -> None:
    """Of sequences of a tile or two, most warps have no tile of one, and look for the next."""
    lengths = (*(1 + 7 * b % 40 for b in range(36)), 600, 0, 5, 70)
    case = replace(USUAL, batch=40, kv_heads=kv_heads, blocks=3, max_kv_len=600, lengths=lengths)
    for seed in range(3):
        check_twice(emulated, replace(case, seed=seed), seed)


@pytest.mark.parametrize(("group", "blocks"), [(1, 8), (1, 13), (3, 24), (5, 40)])
@pytest.mark.parametrize("head_dim_v", [128, 104])
def test_many_parts_of_few_columns(emulated: Any, group: int, blocks: int, head_dim_v: int) -> None:
    """Blocks that reduce less than a line of each part find them in stripes."""
    tokens = 128 * blocks  # a turn for each
    case = replace(
        USUAL, batch=1, kv_heads=1, group=group, head_dim_v=head_dim_v, blocks=blocks,
        max_kv_len=tokens, lengths=tokens,
    )  # fmt: skip
    check_twice(emulated, case, blocks)
    check_twice(emulated, replace(case, lengths=(tokens - 130,), page_size=16), blocks)


@pytest.mark.parametrize("length", [1, 129, 640, 1000, 1025])
@pytest.mark.parametrize("blocks", [1, 3])
def test_splits_that_are_folded(emulated: Any, blocks: int, length: int) -> None:
    """Neighbouring splits in the block, what is left after the exchange."""
    case = replace(
        USUAL, batch=1, kv_heads=1, max_kv_len=1025, lengths=(length,), blocks=blocks,
        flags=BATCH_INVARIANT, split_len=128,
    )  # fmt: skip
    for seed in range(4):
        check_twice(emulated, replace(case, seed=seed), seed)


@pytest.mark.parametrize("resident", [1, 2, 5])
@pytest.mark.parametrize("sm90", [True, False])
@pytest.mark.parametrize(
    "how",
    [
        {"batch": 1, "lengths": 700},
        {"batch": 1, "lengths": (650,)},
        {"batch": 1, "lengths": (700,), "page_size": 16},
        {"lengths": (333, 333), "page_size": 16},
        {"lengths": (700, 3)},
        {"batch": 5, "lengths": (30, 700, 0, 650, 200)},
        {"batch": 3, "lengths": (700, 3, 400), "flags": BATCH_INVARIANT, "split_len": 128},
        {"batch": 1, "lengths": 700, "flags": BATCH_INVARIANT, "split_len": 128},
        {"batch": 5, "kv_heads": 1, "lengths": 200, "flags": BATCH_INVARIANT, "split_len": 128},
    ],
)
def test_blocks_that_wait_without_room_for_the_others(
    emulated: Any, how: dict[str, Any], sm90: bool, resident: int
) -> None:
    """They go, and the last one to come does what they leave."""
    case = replace(USUAL, blocks=7, **how)
    case = replace(case, resident=resident, flags=case.flags | (0 if sm90 else NO_SM90A))
    check_twice(emulated, case, resident)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(
    "how",
    [
        {"batch": 1, "group": 8, "head_dim": 192, "head_dim_v": 192, "blocks": 7},
        # Nodes that come in rounds of four.
        {"kv_heads": 6, "group": 8, "head_dim": 192, "head_dim_v": 192, "blocks": 5, "nodes": 2560},
        {"kv_heads": 1, "blocks": 20, "nodes": 2500},
        # Most blocks have no node, and may be the first to come.
        {"kv_heads": 1, "blocks": 40, "nodes": 2500},
    ],
)
def test_who_has_begun_to_reduce_waits_for_the_rest(
    emulated: Any, how: dict[str, Any], seed: int
) -> None:
    """Others are slow to write what is to be reduced, and there is no room for all of them."""
    how = dict(how)
    case = replace(USUAL, batch=1, naps=40, seed=seed)
    if nodes := how.pop("nodes", 0):
        case = replace(case, max_kv_len=nodes, lengths=nodes, flags=BATCH_INVARIANT, split_len=128)
    for resident in (1, how["blocks"] // 3, how["blocks"] - 1):
        check_twice(emulated, replace(case, resident=resident, **how), seed)


@pytest.mark.parametrize("seed", range(8))
def test_nobody_asks_before_its_own_block_has_come(emulated: Any, seed: int) -> None:
    """The first to come has nothing to do before it reduces, and is slow to count itself."""
    case = replace(
        USUAL, batch=1, kv_heads=1, max_kv_len=600, lengths=600, blocks=20, first=19, resident=1,
        naps=4, flags=BATCH_INVARIANT, split_len=128, seed=seed,
    )  # fmt: skip
    check_twice(emulated, case, seed)


def test_more_parts_than_come_in_one_round(emulated: Any) -> None:
    """The last block to reduce has all parts of the first round, and no room for the others."""
    tokens = 170 * 128  # a turn for each
    case = replace(
        USUAL, batch=1, kv_heads=1, group=1, blocks=170, max_kv_len=tokens, lengths=tokens,
        first=164, resident=1,
    )  # fmt: skip
    check_twice(emulated, case, 1)


@pytest.mark.parametrize("sm90", [True, False])
def test_both_ways_to_copy_give_the_same_bits(emulated: Any, sm90: bool) -> None:
    case = replace(USUAL, lengths=(700, 3), flags=0 if sm90 else NO_SM90A)
    arrays, _ = make_arrays(case, np.random.default_rng(5))
    o, lse = emulate(emulated, case, arrays)
    other, lse_other = emulate(emulated, replace(case, flags=case.flags ^ NO_SM90A), arrays)
    assert np.array_equal(o, other)
    assert np.array_equal(lse, lse_other)


def test_a_batch_invariant_sequence_has_its_bits_in_any_batch(emulated: Any) -> None:
    case = replace(USUAL, batch=3, lengths=(700, 3, 400), flags=BATCH_INVARIANT, split_len=128)
    arrays, _ = make_arrays(case, np.random.default_rng(6))
    o, lse = emulate(emulated, case, arrays)
    for b, length in enumerate((700, 3, 400)):
        alone = replace(case, batch=1, lengths=(length,), blocks=1)
        one = Arrays(arrays.q[b : b + 1], arrays.k[b : b + 1], arrays.v[b : b + 1], None)
        o_alone, lse_alone = emulate(emulated, alone, one)
        assert np.array_equal(o[b], o_alone[0])
        assert np.array_equal(lse[b], lse_alone[0])
