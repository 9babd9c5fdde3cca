"""Random batches: each sequence has the bits that it has alone, in another cache."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from kit.arrays import build
from kit.case import Case, random_case
from kit.compare import same_bits

CASES = 24
TRIES = 200


def split_cases() -> list[Case]:
    """Random cases whose longest sequence is cut more than once."""
    found = []
    for seed in range(TRIES):
        case = replace(random_case(seed), batch_invariant=True, lse=True, split_len=96)
        if case.batch > 1 and max(case.row_lengths) > 2 * case.split_len:
            found.append(case)
    return found[:CASES]


def alone(case: Case, row: int, rng: np.random.Generator) -> Case:
    """One sequence in a cache of another capacity, page size, layout and strides."""
    length = case.row_lengths[row]
    return replace(
        case,
        batch=1,
        lengths=(length,),
        capacity=max(length, 1) + int(rng.integers(500)),
        page_size=int(rng.choice([0, 1, 5, 16, 64])),
        layout=str(rng.choice(["bshd", "bhsd"])),
        strides=str(rng.choice(["packed", "padded", "interleaved"])),
    )


@pytest.mark.parametrize("case", split_cases(), ids=lambda case: f"seed{case.seed}")
def test_a_sequence_alone(kernel: Any, case: Case) -> None:
    backend, name = kernel
    if case.strides == "broadcast":  # its heads have the rows of the first one
        case = replace(case, strides="packed")
    whole = backend.run(case, build(case), name)
    assert whole.plan.info.max_splits > 1
    rng = np.random.default_rng(case.seed)
    for row in range(case.batch):
        single = alone(case, row, rng)
        result = backend.run(single, build(single, identities=[row]), name)
        if result.plan.sku.name != whole.plan.sku.name:
            continue  # less alignment may select another kernel
        assert result.plan.info.split_len == whole.plan.info.split_len
        for output in ("o", "lse"):
            got, want = getattr(result, output)[0], getattr(whole, output)[row]
            assert same_bits(np.array(got), np.array(want)), f"{output} of row {row}\n{single!r}"
