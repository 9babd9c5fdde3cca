"""How far a persistent grid folds fixed splits, and that its workspace holds what is left."""

from __future__ import annotations

import ctypes
import random
from dataclasses import dataclass
from typing import Any

import pytest


def ceil_div(a: int, b: int) -> int:
    return -(-a // b)


@dataclass(frozen=True)
class Run:
    """Lengths of the sequences, how they are cut, and who reads them."""

    lengths: tuple[int, ...]
    max_len: int
    split_len: int
    units: int  # of a sequence
    blocks: int
    levels: int

    def splits(self, length: int) -> int:
        return max(1, ceil_div(length, self.split_len))


def level_of(core: Any, run: Run) -> int:
    """As the device decides it."""
    splits = [run.splits(length) for length in run.lengths]
    common = splits[0] if len(set(run.lengths)) == 1 else 0
    facts = (sum(splits), common, len(splits), run.units, run.blocks)
    return int(core.unit_node_level((ctypes.c_int32 * 5)(*facts), run.levels))


def random_run(seed: int) -> Run:
    draw = random.Random(seed)
    batch, max_len = draw.choice([1, 2, 7, 32, 300]), int(2 ** draw.uniform(0, 20))
    some = [draw.choice([0, -1, 1, max_len, draw.randint(0, max_len)]) for _ in range(batch)]
    return Run(
        tuple(some if draw.random() < 0.7 else [max_len] * batch),
        max_len,
        split_len=draw.choice([16, 512, 1024, 5008]),
        units=draw.choice([1, 3, 8, 40, 500]),
        blocks=draw.choice([1, 16, 132, 148]),
        levels=draw.randint(0, 3),
    )


@pytest.mark.parametrize("chunk", range(10))
def test_the_workspace_holds_every_node(core: Any, chunk: int) -> None:
    for seed in range(chunk, 4000, 10):
        run = random_run(seed)
        level = level_of(core, run)
        assert 0 <= level <= run.levels
        nodes = sum(ceil_div(run.splits(length), 1 << level) for length in run.lengths) * run.units
        all_units = len(run.lengths) * run.units
        slots = core.unit_most_nodes(
            ceil_div(run.max_len, run.split_len), run.blocks, run.levels, all_units
        )
        assert nodes <= slots, f"seed {seed}: {run}"


def test_few_splits_are_left_alone_and_whole_sequences_are_folded(core: Any) -> None:
    def level(lengths: tuple[int, ...]) -> int:
        return level_of(core, Run(lengths, 65536, 512, 8, 132, 3))

    assert level((4096,)) == 0  # 64 splits for 132 blocks
    assert level((1024,) * 128) >= 1  # two splits of a sequence, and enough sequences
