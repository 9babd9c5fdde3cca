"""What may change the bits: the splits.  All choices are within the bound."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from typing import Any

import pytest

from kit.arrays import build
from kit.case import DTYPES, Case
from kit.compare import check, same_bits

CASE = Case("float32", 2, 2, 4, 64, 64, 1500, (1500, 1111), seed=13)
SPLIT_LENGTHS = [32, 96, 250, 256, 512, 1499, 1500, 2**31 - 1]


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_split_length_is_within_the_bound(kernel: Any, dtype: str) -> None:
    backend, name = kernel
    case = replace(CASE, dtype=dtype)
    arrays = build(case)
    bits = set()
    for split_len in SPLIT_LENGTHS:
        result = backend.run(replace(case, split_len=split_len), arrays, name)
        tile, taken = result.plan.info.tile, result.plan.info.split_len
        assert split_len <= taken < split_len + tile
        assert result.plan.info.max_splits == -(-case.capacity // taken)
        check(case, arrays, result)
        bits.add(result.o.tobytes())
    if dtype == "float32":  # the others round most of the differences away
        assert len(bits) > 1


def test_less_workspace_means_fewer_splits(kernel: Any) -> None:
    backend, name = kernel
    arrays = build(CASE)
    free = backend.run(CASE, arrays, name)
    assert free.plan.info.max_splits > 2
    most = free.plan.workspace_size
    seen = set()
    for limit in (most, most - 1, most // 2, 1):
        result = backend.run(CASE, arrays, name, max_workspace_bytes=limit)
        assert result.plan.workspace_size <= limit
        seen.add(result.plan.info.max_splits)
        check(CASE, arrays, result)
        if limit == most:
            assert same_bits(result.o, free.o)
    assert len(seen) > 1
    assert min(seen) == 1


THREADS_OF_A_RUN = """
import os, sys
from kit.arrays import build
from kit.backends import Cpu
from kit.case import Case
def tasks():
    return len(os.listdir("/proc/self/task"))
small, large = Case(capacity=100), Case(capacity=4000)
arrays = [build(case) for case in (small, large)]
before = tasks()
results = [Cpu().run(small, arrays[0])]
between = tasks()
results.append(Cpu().run(large, arrays[1]))
print(between - before, tasks() - between, *(r.plan.info.num_threads for r in results))
"""


@pytest.mark.parametrize("number", [1, 2, 5])
def test_threads_of_the_environment(number: int) -> None:
    """The caller takes part, so one thread less is made; a small problem needs none of them."""
    root = os.path.dirname(os.path.dirname(__file__))
    path = os.pathsep.join([root, os.environ.get("PYTHONPATH", "")])
    variables = {"PYTHONPATH": path, "FLASHDEC_NUM_THREADS": str(number)}
    done = subprocess.run(
        [sys.executable, "-c", THREADS_OF_A_RUN],
        capture_output=True,
        text=True,
        env={**os.environ, **variables},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["0", str(number - 1), str(number), str(number)]
