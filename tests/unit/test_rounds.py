"""How a persistent grid shares units of one length: everything is read once, and evenly."""

from __future__ import annotations

import ctypes
import random
from typing import Any, NamedTuple

import pytest

GRID = 132
TURN = 4  # tiles, at least one of which a part has


class Rounds(NamedTuple):
    whole: int
    left_over: int
    parts: int
    spare: int
    ends: int
    end_tiles: int


def deal(core: Any, units: int, tiles: int, *, may_cut: bool = True, grid: int = GRID) -> Rounds:
    out = (ctypes.c_int32 * 6)()
    core.unit_deal_rounds(units, grid, tiles, may_cut, out)
    return Rounds(*out)


def tiles_of(rounds: Rounds, tiles: int, block: int) -> int:
    """What a block reads, at most."""
    share = rounds.whole * tiles
    full = rounds.left_over * rounds.parts
    if block < full:
        share += -(-(tiles - rounds.end_tiles) // rounds.parts)
    elif rounds.end_tiles:
        ends = range(block - full, rounds.left_over, rounds.spare)
        assert len(ends) <= rounds.ends
        share += len(ends) * rounds.end_tiles
    return share


@pytest.mark.parametrize("chunk", range(4))
def test_blocks_and_slots_suffice(core: Any, chunk: int) -> None:
    for seed in range(chunk, 4000, 4):
        draw = random.Random(seed)
        grid = draw.choice([1, 2, 16, 114, 132, 148])
        units = int(2 ** draw.uniform(0, 12))
        tiles = int(2 ** draw.uniform(0, 14))
        rounds = deal(core, units, tiles, may_cut=draw.random() < 0.8, grid=grid)
        assert rounds.whole * grid + rounds.left_over == units
        assert rounds.parts >= 1
        assert rounds.left_over * rounds.parts + rounds.spare == grid
        assert 0 <= rounds.end_tiles < tiles
        assert rounds.end_tiles % TURN == 0
        if rounds.parts > 1:
            assert -(-(tiles - rounds.end_tiles) // TURN) >= rounds.parts
        if rounds.end_tiles:
            taken = [
                unit
                for first in range(rounds.spare)
                for unit in range(first, rounds.left_over, rounds.spare)
            ]
            assert sorted(taken) == list(range(rounds.left_over))  # every unit's end, once
            assert rounds.left_over * (rounds.parts + 1) <= 2 * grid  # slots


@pytest.mark.parametrize(("tiles", "parts"), [(1, 1), (16, 4), (17, 5), (25, 7), (90, 16)])
def test_there_is_a_part_for_every_turn(core: Any, tiles: int, parts: int) -> None:
    assert deal(core, 8, tiles).parts == parts


def test_nothing_is_cut_where_it_may_not_be(core: Any) -> None:
    rounds = deal(core, 64, 1024, may_cut=False)
    assert (rounds.parts, rounds.end_tiles) == (1, 0)


@pytest.mark.parametrize(("units", "tiles"), [(8, 4096), (64, 1024), (512, 128)])
def test_spare_blocks_read_about_as_much_as_the_others(core: Any, units: int, tiles: int) -> None:
    rounds = deal(core, units, tiles)
    assert rounds.end_tiles > 0
    shares = [tiles_of(rounds, tiles, block) for block in range(GRID)]
    mean = units * tiles / GRID
    assert max(shares) <= 1.02 * mean
    assert min(shares) >= 0.8 * mean


def test_a_short_run_has_no_ends(core: Any) -> None:
    assert deal(core, 8, 1024).end_tiles == 0  # one of 32,768 tokens
    assert deal(core, 256, 128).end_tiles == 0  # 32 of 4,096


def test_many_short_ends_are_not_taken(core: Any) -> None:
    assert deal(core, 64, 512).end_tiles == 0  # 16 of 12 tiles for a block
