"""How a persistent grid cuts sequences of any lengths, and that its workspace holds the pieces."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

import pytest

QUANTUM = 128


def ceil_div(a: int, b: int) -> int:
    return -(-a // b)


@dataclass(frozen=True)
class Run:
    """Lengths of the sequences, and who reads them."""

    lengths: tuple[int, ...]
    max_len: int
    units: int  # of a sequence
    blocks: int
    levels: int
    split_len: int  # 0: grows


def quanta(run: Run, length: int) -> int:
    return max(1, ceil_div(length, run.split_len or QUANTUM))


def shift(core: Any, run: Run) -> int:
    """Log of the quanta of a node, as the device decides it."""
    total = sum(quanta(run, length) for length in run.lengths)
    growth = 0 if run.split_len else core.unit_split_growth(total, run.units, run.blocks)
    level = core.unit_node_level(total >> growth, run.units, run.blocks, run.levels)
    return int(growth + level)


def random_run(seed: int) -> Run:
    draw = random.Random(seed)
    batch, max_len = draw.choice([1, 2, 7, 32, 300]), int(2 ** draw.uniform(0, 20))
    some = [draw.choice([0, -1, 1, max_len, draw.randint(0, max_len)]) for _ in range(batch)]
    lengths = some if draw.random() < 0.7 else [max_len] * batch
    return Run(
        tuple(lengths),
        max_len,
        units=draw.choice([1, 3, 8, 40, 500]),
        blocks=draw.choice([1, 16, 132, 148]),
        levels=draw.randint(0, 3),
        split_len=draw.choice([0, 0, 16, 512, 1024, 5008]),
    )


@pytest.mark.parametrize("chunk", range(10))
def test_the_workspace_holds_every_node(core: Any, chunk: int) -> None:
    for seed in range(chunk, 4000, 10):
        run = random_run(seed)
        log = shift(core, run)
        nodes = sum((quanta(run, length) - 1 >> log) + 1 for length in run.lengths) * run.units
        all_units = len(run.lengths) * run.units
        slots = core.unit_most_nodes(run.split_len, run.blocks, run.levels, all_units, run.max_len)
        assert nodes <= slots, f"seed {seed}: {run}"


def test_long_batches_have_long_splits_and_short_ones_short(core: Any) -> None:
    def split(lengths: tuple[int, ...]) -> int:
        return QUANTUM << shift(core, Run(lengths, 65536, 8, 132, 3, 0))

    assert split((65536,) + (1024,) * 31) == 512
    assert split((1000, 1)) == QUANTUM
    assert split((3000, 2000)) == 128
    assert split((5000, 4000)) == 256
