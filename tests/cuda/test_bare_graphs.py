"""Graphs, streams and threads on raw device memory, with CUDA Python for the driver alone."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from bare import SENTINEL, SPLIT, Bare, last_error, run_python

from kit.arrays import build
from kit.compare import check, same_bits
from kit.driver import Capture, Memory, call, enter, instantiate, new_stream

pytestmark = [pytest.mark.cuda(by="bindings"), pytest.mark.usefixtures("primary")]

FULL = replace(SPLIT, lengths=(SPLIT.capacity,) * SPLIT.batch)  # as much memory as any lengths need
REPLAYS, STREAMS, THREADS, LAUNCHES = 1000, 4, 4, 500


def capture(bare: Bare, stream: int) -> Any:
    """A graph of one run; meanwhile allocations and synchronisation fail in the whole process."""
    with Capture(stream) as captured:
        status = bare.run(stream)
    assert status == 0, last_error()
    return instantiate(captured.graph)


def warm_up(bare: Bare, stream: int) -> Bare:
    """Run once, so that the kernels are loaded, and leave no trace of it."""
    assert bare.run(stream) == 0, last_error()
    call("cuStreamSynchronize", stream)
    bare.reset()
    return bare


def replay(graph: Any, stream: int) -> None:
    call("cuGraphLaunch", graph, stream)
    call("cuStreamSynchronize", stream)


def test_a_capture_enqueues_nothing() -> None:
    stream = new_stream()
    bare = warm_up(Bare(), stream)
    before = bare.everything()
    capture(bare, stream)
    assert bare.everything() == before


FIRST = """
from bare import SPLIT, Bare
from kit.compare import check
from kit.driver import enter, new_stream
from test_bare_graphs import capture, replay
enter()
bare, stream = Bare(), new_stream()
replay(capture(bare, stream), stream)
check(SPLIT, bare.arrays, bare.fetch())
"""


def test_the_first_run_of_a_process_may_be_captured() -> None:
    done = run_python(FIRST)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_replays_follow_lengths_table_and_contents() -> None:
    """New lengths, a new table and new arrays before each replay, each checked against float64."""
    stream = new_stream()
    bare = warm_up(Bare(FULL), stream)
    graph = capture(bare, stream)
    for step in range(REPLAYS):
        lengths = np.random.default_rng(step).integers(0, SPLIT.capacity + 1, SPLIT.batch)
        case = replace(SPLIT, lengths=tuple(map(int, lengths)), seed=step)
        arrays = build(case, page_order=step)
        bare.reset(arrays)
        replay(graph, stream)
        result = bare.fetch()
        check(case, arrays, result)
        assert result.status == 0
        if step % 50 == 0:  # a run gives the bits of the replay
            bare.reset(arrays)
            assert bare.run(stream) == 0, last_error()
            again = bare.fetch()
            assert same_bits(again.o, result.o)
            assert same_bits(again.lse, result.lse)


def test_replays_on_another_stream() -> None:
    stream = new_stream()
    graph = capture(bare := warm_up(Bare(), stream), stream)
    replay(graph, new_stream())
    check(SPLIT, bare.arrays, bare.fetch())


def test_two_streams_at_once() -> None:
    """Two runs of one plan overlap and leave each other alone."""
    first = Bare(replace(FULL, seed=1))
    second = Bare(replace(FULL, seed=2), plan=first.plan)
    pairs = [(first, new_stream()), (second, new_stream())]
    for _ in range(100):
        for bare, stream in pairs:
            assert bare.run(stream) == 0, last_error()
    for bare, _ in pairs:
        check(bare.case, bare.arrays, bare.fetch())


class Recorder:
    """One user of a plan with a stream of its own, who keeps what every launch left."""

    def __init__(self, plan: Any) -> None:
        self.bare, self.stream = Bare(plan=plan), new_stream()
        self.size = self.bare.memory["o"].nbytes
        self.kept = Memory(self.size * LAUNCHES)

    def launch(self, step: int) -> int:
        o = self.bare.memory["o"].pointer
        call("cuMemsetD8Async", o, SENTINEL, self.size, self.stream)
        status = self.bare.run(self.stream)
        target = self.kept.pointer + step * self.size
        call("cuMemcpyDtoDAsync", target, o, self.size, self.stream)
        return status

    def wrong(self, slab: Any) -> int:
        """How many launches left other bytes than these."""
        kept = self.kept.download().reshape(LAUNCHES, self.size)
        return int((kept != slab).any(axis=1).sum())


def launch_all(recorders: list[Recorder], refused: list[int]) -> None:
    enter()  # a new thread has no context
    for step in range(LAUNCHES):
        refused.extend(status for each in recorders if (status := each.launch(step)))


def test_threads_streams_and_launches() -> None:
    """4 threads with 4 streams each on one plan: every one of 8,000 results has the same bits."""
    one = Bare()
    assert one.run() == 0, last_error()
    result = one.fetch()
    check(SPLIT, one.arrays, result)
    slab = result.slab.reshape(-1).view(np.uint8)
    refused: list[int] = []
    groups = [[Recorder(one.plan) for _ in range(STREAMS)] for _ in range(THREADS)]
    threads = [threading.Thread(target=launch_all, args=(group, refused)) for group in groups]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert refused == []
    for group in groups:
        for recorder in group:
            assert recorder.wrong(slab) == 0
            assert same_bits(recorder.bare.fetch().lse, result.lse)
