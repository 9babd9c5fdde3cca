"""flashdec_use_threads: a program's own threads do the work of the CPU backend."""

from __future__ import annotations

import ctypes
import random
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from scene import (
    INVALID_STRUCT_SIZE,
    INVALID_VALUE,
    NULL_POINTER,
    Scene,
    check_sentence,
    last_error,
    structure,
)

import flashdec
from flashdec import _abi
from kit.arrays import build
from kit.backends import Cpu, environment
from kit.case import Case
from kit.compare import same_bits

use_threads = _abi.bind("flashdec_use_threads")

CASE = Case("bfloat16", 4, 4, 2, 64, 64, 2000, (2000, 1777, 0, 300), seed=3)

Do = Callable[[int], None]  # does one item


@contextmanager
def given(spread: Callable[[int, int, Do], None]) -> Iterator[list[tuple[int, int]]]:
    """Let this thread's runs call ``spread(threads, items, do)``; yield what it was called with."""
    calls: list[tuple[int, int]] = []

    def parallel_for(context: Any, threads: int, items: int, item: int, job: int) -> None:
        calls.append((threads, items))
        function = _abi.ITEM(item)
        spread(threads, items, lambda index: function(job, index))

    callback = _abi.PARALLEL_FOR(parallel_for)
    threads = structure(_abi.CThreads, parallel_for=callback)
    assert use_threads(_abi.address(threads)) == 0
    try:
        yield calls
    finally:
        assert use_threads(None) == 0


def in_a_pool(threads: int, items: int, do: Do) -> None:
    """By other threads than the caller, in a random order."""
    order = list(range(items))
    random.Random(items).shuffle(order)
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(do, order))


def run(**more: Any) -> Any:
    return Cpu().run(CASE, build(CASE), num_threads=3, **more)


@pytest.mark.parametrize("isa", Cpu().kernels())
def test_the_bits_are_the_same(isa: str) -> None:
    if Cpu().refusal(isa):
        pytest.skip(Cpu().refusal(isa))
    want = run(kernel=isa)
    with given(in_a_pool) as calls:
        result = run(kernel=isa)
    assert same_bits(result.o, want.o)
    assert same_bits(result.lse, want.lse)
    # Items, then rows to combine; never on more threads than the plan has.
    assert [threads for threads, _ in calls] == [3, 3]
    assert calls[1][1] == CASE.batch * CASE.q_heads
    run()
    assert len(calls) == 2


def test_append_and_merge_use_them() -> None:
    k = np.zeros((64, 64, 8, 128), np.float32)
    cache = np.zeros((64, 128, 8, 128), np.float32)
    parts = np.ones((4, 64, 32, 128), np.float32)
    with environment(FLASHDEC_NUM_THREADS="2"), given(in_a_pool) as calls:
        flashdec.append(k, k, cache, cache.copy(), 0)
        appended = len(calls)
        flashdec.merge(parts, np.zeros((4, 64, 32), np.float32))
    assert 0 < appended < len(calls)


def test_they_are_those_of_one_thread() -> None:
    with given(in_a_pool) as calls:
        other = threading.Thread(target=run)
        other.start()
        other.join()
    assert calls == []


@pytest.mark.parametrize(
    "spread",
    [
        lambda threads, items, do: [do(i) for i in range(items - 1)],
        lambda threads, items, do: [do(i) for i in range(items + 1)],
        lambda threads, items, do: [do(i) for i in range(-1, items - 1)],
        lambda threads, items, do: [do(0) for i in range(items)],
        lambda threads, items, do: [do(i) for i in range(1, items)],
        lambda threads, items, do: None,
    ],
    ids=[
        "one-left-out",
        "one-too-many",
        "one-before",
        "the-first-alone",
        "all-but-the-first",
        "none",
    ],
)
def test_what_is_left_out_is_noticed(spread: Any) -> None:
    with given(spread), pytest.raises(flashdec.InvalidArgumentError, match="each of them once"):
        run()


def test_bad_structures_are_refused() -> None:
    """Nothing has changed then."""
    callback = _abi.PARALLEL_FOR(lambda *call: None)
    cases: list[tuple[dict[str, Any], int, str]] = [
        ({"parallel_for": callback, "reserved": 7}, INVALID_VALUE, "reserved is 7"),
        ({}, NULL_POINTER, "parallel_for"),
        ({"parallel_for": callback, "struct_size": 3}, INVALID_STRUCT_SIZE, "3"),
    ]
    for fields, code, words in cases:
        threads = structure(_abi.CThreads, **fields)
        assert use_threads(_abi.address(threads)) == code
        check_sentence(last_error(), words)
        scene = Scene()
        assert scene.run() == 0


def test_the_structure_is_copied() -> None:
    done = []

    def parallel_for(context: int, threads: int, items: int, item: int, job: int) -> None:
        done.append(context)
        for index in range(items):
            _abi.ITEM(item)(job, index)

    callback = _abi.PARALLEL_FOR(parallel_for)
    threads = structure(_abi.CThreads, parallel_for=callback, context=1234)
    assert use_threads(_abi.address(threads)) == 0
    ctypes.memset(_abi.address(threads), 0xA5, ctypes.sizeof(threads))
    try:
        run()
    finally:
        assert use_threads(None) == 0
    assert set(done) == {1234}
