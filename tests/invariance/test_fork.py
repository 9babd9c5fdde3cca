"""A child of fork has none of the pool's threads, and computes all the same (CPU)."""

from __future__ import annotations

import os
import signal
import threading
import time
from typing import Any

import numpy as np

import flashdec
from kit.arrays import build
from kit.backends import Cpu
from kit.case import Case
from kit.compare import same_bits

CASE = Case("bfloat16", 4, 4, 4, 64, 64, 1000, (1000, 777, 0, 300), seed=3)
FORKS = 60  # each at another point of a run
PATIENCE = 30  # seconds until a child counts as hanging


class Caller:
    """One plan with outputs and a workspace of its own."""

    def __init__(self) -> None:
        arrays = build(CASE)
        self.want = Cpu().run(CASE, arrays, num_threads=4)
        self.plan = self.want.plan
        assert self.plan.info.max_splits > 1
        self.o = np.empty_like(self.want.o)
        self.args = flashdec.Args(
            q=arrays.q, k=arrays.k, v=arrays.v, o=self.o, kv_len=arrays.kv_len
        )
        self.workspace = flashdec.Workspace.allocate(self.plan)

    def right(self) -> bool:
        self.o[...] = 7
        self.plan.run(self.args, self.workspace)
        return same_bits(self.o, self.want.o)


def exit_code_of_child(function: Any) -> int:
    """Fork; the child exits with 0 if the function says true; -SIGKILL if it hangs."""
    child = os.fork()
    if child == 0:
        code = 2
        try:
            code = 0 if function() else 1
        finally:
            os._exit(code)
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.005)
    os.kill(child, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_after_the_pool_was_used() -> None:
    caller = Caller()
    assert caller.right()
    for _ in range(5):
        assert exit_code_of_child(caller.right) == 0
    assert caller.right()


def test_a_child_of_a_child() -> None:
    caller = Caller()
    assert exit_code_of_child(lambda: caller.right() and exit_code_of_child(caller.right) == 0) == 0


def test_while_the_pool_is_at_work() -> None:
    """Another thread is inside a run whenever the fork happens."""
    caller, busy, stop = Caller(), Caller(), threading.Event()
    wrong: list[int] = []

    def work() -> None:
        while not stop.is_set():
            if not busy.right():
                wrong.append(1)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        codes = {exit_code_of_child(caller.right)}
        for _ in range(FORKS - 1):
            if codes != {0}:
                break
            codes.add(exit_code_of_child(caller.right))
    finally:
        stop.set()
        thread.join()
    assert codes == {0}
    assert not wrong
