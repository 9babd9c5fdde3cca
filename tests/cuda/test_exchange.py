"""Partial results exchanged within one launch: same bits, a workspace as it was, no hang."""

from __future__ import annotations

import ctypes
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

import flashdec
from kit.arrays import build
from kit.backends import Cuda, cuda_is_usable, environment
from kit.case import Case
from kit.compare import same_bits
from kit.driver import call, driver

pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(not cuda_is_usable(), reason="no GPU that the library and torch can use"),
]

UNEVEN = Case("bfloat16", 4, 4, 4, 128, 128, 5000, (5000, 1777, 0, 300), 16, seed=3)
EVEN = Case("float16", 2, 2, 4, 128, 128, 6000, 6000, seed=4)
ENDS = Case("float16", 200, 1, 2, 8, 8, 9000, 9000, seed=5)  # tests/cuda/test_ends.py
FIXED = replace(UNEVEN, batch_invariant=True)
# Fewer nodes than an H100 has blocks, so that some only reduce what others have read.
SPARSE = Case("bfloat16", 64, 1, 4, 128, 128, 512, 512, batch_invariant=True, split_len=256)
ONE = Case("bfloat16", 1, 4, 4, 128, 128, 5000, (5000,), 16, seed=6)
CASES = {"uneven": UNEVEN, "even": EVEN, "ends": ENDS, "fixed splits": FIXED, "one": ONE}
CASES["few nodes"] = SPARSE
SECONDS = 20.0  # far more than any of this takes, far less than for ever


class Exchange:
    """A case with a prepared workspace of its own, and the bits that two launches give."""

    def __init__(self, case: Case) -> None:
        backend = Cuda()
        self.arrays = build(case)
        self.want = backend.run(case, self.arrays)
        self.plan = self.want.plan
        assert self.plan.info.max_splits > 1
        assert self.plan.info.launches == 1
        put: dict[int, Any] = {}
        names = ("q", "k", "v", "o", "lse", "kv_len", "page_table")
        raw = {name: getattr(self.arrays, name) for name in names}
        views = {
            name: backend.view(array, put) if hasattr(array, "ctypes") else array
            for name, array in raw.items()
        }
        self.args = flashdec.Args(**views, layout=case.layout)
        self.workspace: Any = backend.workspace(self.plan, None, prepared=True)

    def run(self, stream: Any = None) -> None:
        self.plan.run(self.args, self.workspace, stream=stream)

    def clear(self) -> None:
        self.args.o.fill_(7)
        self.args.lse.fill_(7)

    def check(self) -> None:
        o, lse = Cuda().fetch(self.args.o).copy(), Cuda().fetch(self.args.lse).copy()
        assert same_bits(o, self.want.o)
        assert same_bits(lse, self.want.lse)
        Cuda().check_restored(self.workspace)


def wait_for(*streams: Any) -> None:
    """Synchronise, but fail rather than wait for ever."""
    import torch

    events = [stream.record_event(torch.cuda.Event()) for stream in streams]
    deadline = time.monotonic() + SECONDS
    while not all(event.query() for event in events):
        assert time.monotonic() < deadline, "blocks wait for parts that do not come"
        time.sleep(0.001)


@pytest.mark.parametrize("name", CASES)
def test_every_run_gives_the_bits_of_two_launches(name: str) -> None:
    import torch

    exchange = Exchange(CASES[name])
    for _ in range(50):
        exchange.clear()
        exchange.run()
        torch.cuda.synchronize()
        exchange.check()


def test_one_workspace_serves_plans_in_turn() -> None:
    import torch

    first, second = Exchange(UNEVEN), Exchange(EVEN)
    larger = max(first.workspace, second.workspace, key=lambda w: w.nbytes)
    first.workspace = second.workspace = larger
    for exchange in (first, second, first, second, second, first):
        exchange.clear()
        exchange.run()
        torch.cuda.synchronize()
        exchange.check()


def test_check_finds_a_workspace_that_is_not_prepared() -> None:
    exchange = Exchange(EVEN)
    with environment(FLASHDEC_CHECK="1"):
        plan = flashdec.Plan.select(exchange.plan.descriptor, exchange.plan.preference)
    plan.run(exchange.args, exchange.workspace)
    content = exchange.workspace.owner
    content[exchange.workspace.pointer - content.data_ptr() + 5] = 0
    exchange.clear()
    with pytest.raises(flashdec.InvalidArgumentError, match="byte 5 of the prepared workspace"):
        plan.run(exchange.args, exchange.workspace)
    assert bool((exchange.args.o == 7).all())


@pytest.mark.parametrize("name", CASES)
def test_replays_of_a_graph(name: str) -> None:
    """Launches in a row: each begins while the one before ends."""
    import torch

    exchange = Exchange(CASES[name])
    graph = torch.cuda.CUDAGraph()
    exchange.run()
    torch.cuda.synchronize()
    with torch.cuda.graph(graph):
        for _ in range(20):
            exchange.run()
    for _ in range(50):
        graph.replay()
    wait_for(torch.cuda.current_stream())
    exchange.check()


@pytest.mark.parametrize("name", CASES)
def test_beside_a_kernel_that_holds_the_multiprocessors(name: str) -> None:
    import torch

    exchange = Exchange(CASES[name])
    busy, ours = torch.cuda.Stream(), torch.cuda.Stream()
    matrix = torch.randn(8192, 8192, device="cuda", dtype=torch.bfloat16)
    torch.cuda.synchronize()
    for _ in range(10):
        with torch.cuda.stream(busy):
            matrix @ matrix
        for _ in range(20):
            exchange.run(stream=ours)
    wait_for(busy, ours)
    exchange.check()


HOLD = """
extern "C" __global__ void hold(const volatile int* until) {
  while (*until == 0) {}
}
"""
HELD_BYTES = 160 * 1024  # of shared memory: none of our blocks finds room beside it


@contextmanager
def hold_all_but(room: int, stream: Any) -> Iterator[None]:
    """A block that keeps its multiprocessor on all but `room` of them."""
    import torch

    core = pytest.importorskip("cuda.core", reason="no cuda.core")
    attributes = driver().CUfunction_attribute
    attribute = attributes.CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES
    core.Device(torch.cuda.current_device()).set_current()
    module = call("cuModuleLoadData", core.Program(HOLD, "c++").compile("cubin").code)
    function = call("cuModuleGetFunction", module, b"hold")
    if torch.cuda.get_device_properties().shared_memory_per_block_optin < HELD_BYTES:
        pytest.skip("two of our blocks may share a multiprocessor")
    call("cuFuncSetAttribute", function, attribute, HELD_BYTES)
    blocks = torch.cuda.get_device_properties().multi_processor_count - room
    until = torch.zeros(1, dtype=torch.int32).pin_memory()
    arguments = ((until.data_ptr(),), (ctypes.c_void_p,))
    shape = (blocks, 1, 1, 32, 1, 1, HELD_BYTES, stream.cuda_stream)
    call("cuLaunchKernel", function, *shape, arguments, 0)
    try:
        yield
    finally:
        until[0] = 1
        wait_for(stream)
        call("cuModuleUnload", module)


@pytest.mark.parametrize("room", [1, 5, 60])
@pytest.mark.parametrize("name", ["even", "ends", "fixed splits", "one"])
def test_with_room_for_a_few_blocks_only(name: str, room: int) -> None:
    """Those that have come go without those that have not, and the last one does the rest."""
    import torch

    exchange = Exchange(CASES[name])
    holding, ours = torch.cuda.Stream(), torch.cuda.Stream()
    torch.cuda.synchronize()
    with hold_all_but(room, holding):
        for _ in range(3):
            exchange.run(stream=ours)
            wait_for(ours)
        assert not holding.query(), "nothing held the multiprocessors"
    exchange.check()


def test_two_streams_with_a_prepared_workspace_each() -> None:
    import torch

    exchanges = [Exchange(UNEVEN), Exchange(EVEN)]
    streams = [torch.cuda.Stream() for _ in exchanges]
    torch.cuda.synchronize()
    for _ in range(5000):  # two grids that need every multiprocessor must never share them
        for exchange, stream in zip(exchanges, streams, strict=True):
            exchange.run(stream=stream)
    wait_for(*streams)
    for exchange in exchanges:
        exchange.check()


def test_parallel_branches_of_a_graph() -> None:
    import torch

    exchanges = [Exchange(UNEVEN), Exchange(EVEN), Exchange(UNEVEN)]
    graph, side = torch.cuda.CUDAGraph(), [torch.cuda.Stream() for _ in exchanges]
    torch.cuda.synchronize()
    with torch.cuda.graph(graph):
        main = torch.cuda.current_stream()
        for exchange, stream in zip(exchanges, side, strict=True):
            stream.wait_stream(main)
            for _ in range(5):
                exchange.run(stream=stream)
            main.wait_stream(stream)
    for _ in range(100):
        graph.replay()
    wait_for(torch.cuda.current_stream())
    for exchange in exchanges:
        exchange.check()
