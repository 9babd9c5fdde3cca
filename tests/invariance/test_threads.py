"""The number of threads, other callers, other processes and forks change no bit."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import flashdec
from kit.arrays import build
from kit.backends import Cpu, environment
from kit.case import Case
from kit.compare import same_bits

CASE = Case("bfloat16", 4, 4, 4, 64, 64, 2000, (2000, 1777, 0, 300), seed=3)
THREADS = [1, 2, 3, 7, 16]


def run(case: Case, **more: Any) -> Any:
    result = Cpu().run(case, build(case), **more)
    assert result.plan.info.max_splits > 1
    return result


@pytest.mark.parametrize("page_size", [0, 16])
@pytest.mark.parametrize("layout", ["bshd", "bhsd"])
@pytest.mark.parametrize("isa", Cpu().kernels())
def test_number_of_threads(isa: str, layout: str, page_size: int) -> None:
    case = replace(CASE, layout=layout, page_size=page_size)
    with environment(FLASHDEC_ISA=isa):
        try:
            want = run(case, num_threads=1)
        except flashdec.UnsupportedError as error:
            pytest.skip(str(error))
        for threads in THREADS:
            result = run(case, num_threads=threads)
            assert result.plan.info.num_threads == threads
            assert same_bits(result.o, want.o), threads
            assert same_bits(result.lse, want.lse), threads


@pytest.mark.parametrize("layout", ["bshd", "bhsd"])
@pytest.mark.parametrize("isa", Cpu().kernels())
def test_who_adds_up_the_splits(isa: str, layout: str) -> None:
    """One thread adds each split to those before at once; of many, each leaves parts behind."""
    case = replace(CASE, dtype="float32", layout=layout)
    with environment(FLASHDEC_ISA=isa):
        try:
            want = run(case, num_threads=1, split_len=32)
        except flashdec.UnsupportedError as error:
            pytest.skip(str(error))
        assert want.plan.info.max_splits > 60
        for threads in (2, 5, 64):
            result = run(case, num_threads=threads, split_len=32)
            assert same_bits(result.o, want.o), threads
            assert same_bits(result.lse, want.lse), threads


def test_environment_sets_the_number() -> None:
    with environment(FLASHDEC_NUM_THREADS="5"):
        assert run(CASE).plan.info.num_threads == 5


def test_affinity_is_respected() -> None:
    code = (
        "import os, flashdec; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))});"
        "d = flashdec.Descriptor.new(batch=1, heads=1, max_kv_len=1, head_dim=1);"
        "p = flashdec.PlanPreference(prefer_backend='cpu');"
        "print(flashdec.Plan.select(d, p).info.num_threads)"
    )
    variables = {k: v for k, v in os.environ.items() if k != "FLASHDEC_NUM_THREADS"}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=variables, check=True
    )
    assert done.stdout.strip() == "1"


def test_callers_at_once() -> None:
    """4 threads with 300 calls each on one plan, each with its own outputs and workspace."""
    case = replace(CASE, capacity=700, lengths=(700, 300, 0, 611))
    arrays = build(case)
    want = Cpu().run(case, arrays, num_threads=2)
    plan, wrong = want.plan, []

    def call() -> None:
        o, lse = np.empty_like(want.o), np.empty_like(want.lse)
        args = flashdec.Args(q=arrays.q, k=arrays.k, v=arrays.v, o=o, lse=lse, kv_len=arrays.kv_len)
        workspace = flashdec.Workspace.allocate(plan)
        for _ in range(300):
            o[...] = 7
            plan.run(args, workspace)
            if not (same_bits(o, want.o) and same_bits(lse, want.lse)):
                wrong.append(1)

    callers = [threading.Thread(target=call) for _ in range(4)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert not wrong


def child(queue: Any) -> None:
    bits = run(CASE, num_threads=3).o.tobytes()
    queue.put((bits, len(os.listdir("/proc/self/task"))))


def test_fork() -> None:
    """The child of a process whose pool is at work makes a pool of its own."""
    want = run(CASE, num_threads=3)
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    # A daemon: if it hangs, it is killed when this process ends.
    process = context.Process(target=child, args=(queue,), daemon=True)
    process.start()
    got, threads = queue.get(timeout=60)
    process.join(60)
    assert process.exitcode == 0
    assert got == want.o.tobytes()
    assert threads >= 3  # its own: those of the parent do not cross a fork
    assert same_bits(run(CASE, num_threads=3).o, want.o)


def test_another_process() -> None:
    code = (
        "import sys; from test_threads import run, CASE; import hashlib;"
        "sys.stdout.write(hashlib.sha256(run(CASE, num_threads=2).o.tobytes()).hexdigest())"
    )
    here = Path(__file__).parent
    path = os.pathsep.join([str(here), str(here.parent), os.environ.get("PYTHONPATH", "")])
    digests = {
        subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONPATH": path},
            check=True,
        ).stdout
        for _ in range(2)
    }
    assert len(digests) == 1
    assert digests != {""}
