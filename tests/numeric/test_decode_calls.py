"""Calls of flashdec.decode do not disturb each other: kept plans, kept workspace, threads."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest

import flashdec
from kit.backends import environment
from kit.compare import same_bits

SHAPES = [(1, 3000), (3, 40), (2, 700), (4, 1500)]  # batch, tokens


def inputs(batch: int, tokens: int) -> tuple[Any, Any, Any]:
    rng = np.random.default_rng([batch, tokens])
    q = rng.standard_normal((batch, 4, 32), np.float32)
    k, v = (rng.standard_normal((batch, tokens, 2, 32), np.float32) for _ in range(2))
    return q, k, v


def test_large_and_small_in_turn() -> None:
    """The workspace that is kept between calls holds the leftovers of another problem."""
    arrays = [inputs(*shape) for shape in SHAPES]
    want = [flashdec.decode(*each) for each in arrays]
    for i in (1, 0, 3, 1, 2, 0):
        assert same_bits(flashdec.decode(*arrays[i]), want[i])


def test_threads_with_problems_of_their_own() -> None:
    arrays = [inputs(*shape) for shape in SHAPES]
    want = [flashdec.decode(*each) for each in arrays]
    wrong: list[int] = []

    def call(first: int) -> None:
        for step in range(40):
            i = (first + step) % len(SHAPES)
            if not same_bits(flashdec.decode(*arrays[i]), want[i]):
                wrong.append(i)

    threads = [threading.Thread(target=call, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_workspace_of_the_caller() -> None:
    q, k, v = inputs(2, 700)
    desc = flashdec.Descriptor.new_gqa(
        batch=2, q_heads=4, kv_heads=2, max_kv_len=700, head_dim=32, dtype=flashdec.float32
    )
    plan = flashdec.Plan.select(desc, flashdec.PlanPreference(prefer_backend="cpu"))
    assert plan.info.max_splits > 1
    memory = np.full(plan.workspace_size + 256, 0xFF, np.uint8)
    own = flashdec.Workspace.from_array(memory)
    assert same_bits(flashdec.decode(q, k, v, workspace=own), flashdec.decode(q, k, v))
    assert (memory != 0xFF).any()
    short = flashdec.Workspace(own.pointer, plan.workspace_size - 1, own.device, own.owner)
    with pytest.raises(flashdec.InvalidArgumentError, match="this plan needs"):
        flashdec.decode(q, k, v, workspace=short)


def test_kept_plans_follow_the_environment() -> None:
    """A plan that was kept without checks is not used once FLASHDEC_CHECK asks for them."""
    q, k, v = inputs(2, 700)
    bad = np.array([700, 701], np.int32)
    assert np.isnan(flashdec.decode(q, k, v, kv_len=bad)[1]).all()
    with environment(FLASHDEC_CHECK="1"), pytest.raises(flashdec.InvalidArgumentError):
        flashdec.decode(q, k, v, kv_len=bad)
    assert np.isnan(flashdec.decode(q, k, v, kv_len=bad)[1]).all()


@pytest.mark.parametrize("layout", ["bshd", "bhsd"])
def test_pages_and_no_tokens(layout: str) -> None:
    q, k, v = inputs(2, 64)
    pages = [a.reshape(8, 16, 2, 32) for a in (k, v)]
    if layout == "bhsd":
        pages = [np.ascontiguousarray(a.swapaxes(1, 2)) for a in pages]
    table = np.full((2, 4), -1, np.int32)
    o, lse = flashdec.decode(q, *pages, page_table=table, kv_len=0, layout=layout, return_lse=True)
    assert not o.any()
    assert (lse == -np.inf).all()
    table[...] = np.arange(8).reshape(2, 4)
    o = flashdec.decode(q, *pages, page_table=table, kv_len=50, layout=layout)
    assert same_bits(o, flashdec.decode(q, k, v, kv_len=50))
