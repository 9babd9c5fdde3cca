"""A sequence's bits depend on its own data alone: each case has more than one split."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from kit.arrays import build
from kit.case import DTYPES, Case
from kit.compare import same_bits

LENGTHS = (700, 513, 31, 600)
BASE = Case("bfloat16", 4, 4, 4, 64, 64, 700, LENGTHS, batch_invariant=True, seed=11)

VARIANTS = {
    "paged 16": {"page_size": 16},
    "paged 1": {"page_size": 1},
    "paged 7": {"page_size": 7},
    "paged 256": {"page_size": 256},
    "heads first": {"layout": "bhsd"},
    "paged, heads first": {"page_size": 16, "layout": "bhsd"},
    "padded": {"strides": "aligned"},
    "interleaved": {"strides": "interleaved"},
    "more capacity": {"capacity": 1531},
    "much more capacity": {"capacity": 100_000, "page_size": 64},
}


def run(kernel: Any, case: Case, **more: Any) -> Any:
    backend, name = kernel
    order = more.pop("order", None)
    page_order = more.pop("page_order", 0)
    arrays = build(case, identities=order, page_order=page_order)
    result = backend.run(case, arrays, name, **more)
    assert result.plan.info.max_splits > 1
    assert result.plan.sku.precision_guarantee.batch_invariant
    return result


def equal(a: Any, b: Any, rows_a: Any = slice(None), rows_b: Any = slice(None)) -> bool:
    return same_bits(a.o[rows_a], b.o[rows_b]) and same_bits(a.lse[rows_a], b.lse[rows_b])


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_cache_variants(kernel: Any, dtype: str, variant: str) -> None:
    base = replace(BASE, dtype=dtype)
    want = run(kernel, base)
    assert equal(run(kernel, replace(base, **VARIANTS[variant])), want), variant


@pytest.mark.parametrize("page_order", range(1, 5))
def test_page_order(kernel: Any, page_order: int) -> None:
    case = replace(BASE, page_size=16)
    assert equal(run(kernel, case, page_order=page_order), run(kernel, case))


@pytest.mark.parametrize("group", [1, 3, 8, 9, 17])
def test_heads_in_a_span(kernel: Any, group: int) -> None:
    """Several key/value heads in an item, or one: the layout decides, the bits do not show it."""
    case = replace(BASE, group=group, kv_heads=5, split_len=256)
    assert equal(run(kernel, replace(case, layout="bhsd")), run(kernel, case))


def test_position_in_the_batch(kernel: Any) -> None:
    want = run(kernel, BASE)
    order = [2, 0, 3, 1]
    moved = replace(BASE, lengths=tuple(LENGTHS[i] for i in order))
    result = run(kernel, moved, order=order)
    for new, old in enumerate(order):
        assert equal(result, want, new, old), old


@pytest.mark.parametrize("batch", [1, 2, 7, 33])
def test_neighbours(kernel: Any, batch: int) -> None:
    want = run(kernel, BASE)
    rng = np.random.default_rng(batch)
    lengths = (LENGTHS[0], *(int(n) for n in rng.integers(0, 701, batch - 1)))
    case = replace(BASE, batch=batch, lengths=lengths)
    order = [0, *range(100, 99 + batch)]
    assert equal(run(kernel, case, order=order), want, 0, 0)


@pytest.mark.parametrize("variant", ["bshd", "bhsd", "paged"])
def test_repeat(kernel: Any, variant: str) -> None:
    backend, name = kernel
    changes = {"page_size": 16} if variant == "paged" else {"layout": variant}
    case = replace(BASE, batch_invariant=False, **changes)
    arrays = build(case)
    want = backend.run(case, arrays, name)
    assert want.plan.info.max_splits > 1
    for _ in range(50):
        assert equal(backend.run(case, build(case), name), want)


def test_split_length_is_part_of_the_promise(kernel: Any) -> None:
    """Other splits may give other bits; if they never did, nothing here would have been split."""
    case = replace(BASE, dtype="float32")  # float16 and bfloat16 would round the difference away
    assert not equal(run(kernel, replace(case, split_len=64)), run(kernel, case))
