"""Streams, graphs, contexts and devices: what only a GPU has."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import flashdec
from kit.arrays import build
from kit.backends import Cuda, cuda_is_usable, environment
from kit.case import Case
from kit.compare import same_bits

pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(not cuda_is_usable(), reason="no GPU that the library and torch can use"),
]

CASE = Case("bfloat16", 4, 4, 4, 64, 64, 2000, (2000, 1777, 0, 300), 16, seed=3)


class Loaded:
    """A case on the GPU: plan, arguments, workspace, and the bits it should give."""

    def __init__(self, case: Case = CASE) -> None:
        backend = Cuda()
        self.arrays = build(case)
        self.want = backend.run(case, self.arrays)
        self.plan = self.want.plan
        assert self.plan.info.max_splits > 1
        put: dict[int, Any] = {}
        names = ("q", "k", "v", "o", "lse", "kv_len", "page_table")
        views = {n: backend.view(getattr(self.arrays, n), put) for n in names}
        self.args = flashdec.Args(**views, layout=case.layout)
        self.workspace = backend.workspace(self.plan, None)

    def clear(self) -> None:
        self.args.o.fill_(7)
        self.args.lse.fill_(7)

    def right(self, want: Any = None) -> bool:
        target = self.want if want is None else want
        o, lse = Cuda().fetch(self.args.o).copy(), Cuda().fetch(self.args.lse).copy()
        return same_bits(o, target.o) and same_bits(lse, target.lse)


def test_streams_give_the_same_bits() -> None:
    import torch

    loaded = Loaded()
    for stream in (
        torch.cuda.Stream(),
        torch.cuda.Stream(priority=-1),
        torch.cuda.default_stream(),
    ):
        loaded.clear()
        torch.cuda.synchronize()
        loaded.plan.run(loaded.args, loaded.workspace, stream=stream)
        torch.cuda.synchronize()
        assert loaded.right()


@pytest.mark.parametrize("bound", [False, True])
def test_current_stream_of_torch_is_taken(bound: bool) -> None:
    import torch

    loaded = Loaded()
    args = loaded.plan.bind(loaded.args) if bound else loaded.args
    side = torch.cuda.Stream()
    with torch.cuda.stream(side):
        torch.cuda._sleep(20_000_000)
        loaded.clear()
        loaded.plan.run(args, loaded.workspace)
    assert not side.query()  # enqueued behind the sleep, and did not wait for it
    torch.cuda.synchronize()
    assert loaded.right()


def test_graph_follows_lengths_tables_and_contents() -> None:
    import torch

    loaded = Loaded()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        loaded.plan.run(loaded.args, loaded.workspace)
    for step in range(1000):
        lengths = tuple(int(n) for n in np.random.default_rng(step).integers(0, 301, 4))
        case = replace(CASE, lengths=lengths)
        if step % 100 == 0:  # new contents and a new table, of the pages that are there
            arrays = build(replace(CASE, seed=step))
            for name in ("k", "v", "q", "page_table"):
                getattr(loaded.args, name).copy_(Cuda().view(getattr(arrays, name), {}))
        loaded.args.kv_len.copy_(torch.tensor(lengths, dtype=torch.int32))
        loaded.clear()
        graph.replay()
        if step % 50:
            continue
        replayed = loaded.args.o.clone()
        loaded.clear()
        loaded.plan.run(loaded.args, loaded.workspace)
        torch.cuda.synchronize()
        assert same_bits(Cuda().fetch(loaded.args.o), Cuda().fetch(replayed)), case
        for b, length in enumerate(lengths):
            assert bool(replayed[b].any()) == (length > 0)


def test_threads_and_streams() -> None:
    """4 threads, 4 streams, 400 launches, each with its own outputs and workspace."""
    import torch

    wrong: list[int] = []
    loads = [Loaded() for _ in range(4)]

    def call(loaded: Loaded) -> None:
        streams = [torch.cuda.Stream() for _ in range(4)]
        for step in range(400):
            stream = streams[step % 4]
            loaded.plan.run(loaded.args, loaded.workspace, stream=stream)
            stream.synchronize()
        if not loaded.right():
            wrong.append(1)

    threads = [threading.Thread(target=call, args=(loaded,)) for loaded in loads]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_a_thread_without_a_context() -> None:
    """The driver's context of a new thread is none; the plan's device has one all the same."""
    loaded = Loaded()
    loaded.clear()
    failed: list[str] = []

    def call() -> None:
        try:
            loaded.plan.run(loaded.args, loaded.workspace, stream=0)
        except flashdec.FlashdecError as error:
            failed.append(str(error))

    thread = threading.Thread(target=call)
    thread.start()
    thread.join()
    Cuda().finish()
    assert not failed
    assert loaded.right()


def test_host_memory_is_refused_under_check() -> None:
    loaded = Loaded()
    with environment(FLASHDEC_CHECK="1"):
        plan = Cuda().plan(CASE, loaded.arrays)
    status, struct = loaded.args.bind(loaded.plan._address)
    assert status == 0
    args = flashdec.PointerArgs()
    for name in flashdec.PointerArgs.field_names():
        setattr(args, name, getattr(struct, name) or 0)
    args.q = loaded.arrays.q.ctypes.data
    with pytest.raises(flashdec.DeviceError, match="q is host memory"):
        plan.run(args, loaded.workspace, stream=0)


def test_check_in_a_capture_is_refused() -> None:
    import torch

    loaded = Loaded()
    with environment(FLASHDEC_CHECK="1"):
        plan = Cuda().plan(CASE, loaded.arrays)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph), pytest.raises(flashdec.DeviceError, match="capturing"):
        plan.run(loaded.args, loaded.workspace)


def test_host_arrays_are_refused() -> None:
    loaded = Loaded()
    loaded.args.q = loaded.arrays.q
    support = loaded.plan.can_implement(loaded.args)
    assert not support
    assert support.reason == "q is on the CPU; the plan runs on a CUDA device"


def test_workspace_one_byte_short() -> None:
    loaded = Loaded()
    whole = loaded.workspace
    short = flashdec.Workspace(whole.pointer, whole.nbytes - 1, whole.device, whole.owner)
    loaded.clear()
    with pytest.raises(flashdec.InvalidArgumentError, match="this plan needs"):
        loaded.plan.run(loaded.args, short)
    assert (loaded.args.o == 7).all()


def test_libraries() -> None:
    """The same bits from torch, CuPy and JAX arrays."""
    import torch

    q, k = torch.randn(2, 8, 64).cuda(), torch.randn(2, 300, 2, 64).cuda()
    want = flashdec.decode(q, k, k).cpu().numpy()
    cupy = pytest.importorskip("cupy")
    assert same_bits(cupy.asnumpy(flashdec.decode(*map(cupy.asarray, (q, k, k)))), want)
    jax = pytest.importorskip("jax")
    there = [jax.numpy.asarray(a.cpu().numpy()) for a in (q, k, k)]
    assert same_bits(np.asarray(flashdec.decode(*there)), want)


def test_a_real_cache_past_2_31_elements() -> None:
    import torch

    pages = (1 << 31) // (16 * 8 * 128) + 100
    k = torch.zeros(pages, 16, 8, 128, dtype=torch.float16, device="cuda")
    v = torch.zeros_like(k)
    table = torch.tensor([[pages - 1, 3, pages - 70]], dtype=torch.int32, device="cuda")
    small = torch.randn(2, 3, 16, 8, 128, device="cuda").half()
    for i, page in enumerate(table[0].tolist()):
        k[page], v[page] = small[0, i], small[1, i]
    q = torch.randn(1, 16, 128, device="cuda").half()
    flat = small.reshape(2, 1, 48, 8, 128)
    assert torch.equal(
        flashdec.decode(q, k, v, page_table=table), flashdec.decode(q, flat[0], flat[1])
    )
