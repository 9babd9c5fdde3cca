"""CUDA Python's own objects, cuda.core: streams, graph builders and buffers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from bare import SPLIT, Bare

import flashdec
from kit.compare import check
from kit.driver import call

pytestmark = [pytest.mark.cuda(by="bindings"), pytest.mark.usefixtures("primary")]


@pytest.fixture
def core() -> Any:
    return pytest.importorskip("cuda.core", reason="no cuda.core")


@pytest.fixture
def device(core: Any) -> Any:
    found = core.Device(0)
    found.set_current()  # the primary context, which is current already
    return found


def wrapped(bare: Bare) -> tuple[flashdec.PointerArgs, flashdec.Workspace]:
    return bare.pointer_args(), bare.python_workspace()


def test_run_takes_a_stream(device: Any) -> None:
    bare, stream = Bare(), device.create_stream()
    args, workspace = wrapped(bare)
    bare.python_plan().run(args, workspace, stream=stream)
    stream.sync()
    check(SPLIT, bare.arrays, bare.fetch())


def test_run_takes_the_default_streams(core: Any, device: Any) -> None:
    streams = (device.default_stream, core.LEGACY_DEFAULT_STREAM, core.PER_THREAD_DEFAULT_STREAM)
    for stream in streams:
        bare = Bare()
        args, workspace = wrapped(bare)
        bare.python_plan().run(args, workspace, stream=stream)
        check(SPLIT, bare.arrays, bare.fetch())


def test_select_takes_a_stream(device: Any) -> None:
    bare, stream = Bare(), device.create_stream()
    plan = flashdec.Plan.select(bare.desc, bare.wishes, stream=stream)
    assert plan == bare.python_plan()
    assert bytes(plan) == bytes(bare.plan)


def test_a_closed_stream_is_refused(device: Any) -> None:
    bare, stream = Bare(), device.create_stream()
    args, workspace = wrapped(bare)
    plan, before = bare.python_plan(), bare.everything()
    if not hasattr(stream, "is_closed"):
        pytest.skip("this cuda.core cannot tell")
    stream.close()
    with pytest.raises(RuntimeError, match="closed"):
        plan.run(args, workspace, stream=stream)
    assert bare.everything() == before


def test_a_graph_builder_captures(device: Any) -> None:
    bare, stream = Bare(), device.create_stream()
    args, workspace = wrapped(bare)
    plan = bare.python_plan()
    builder = device.create_graph_builder().begin_building()
    plan.run(args, workspace, stream=builder)
    graph = builder.end_building().complete()
    for _ in range(3):
        bare.reset()
        graph.launch(stream)
        stream.sync()
        check(SPLIT, bare.arrays, bare.fetch())


def test_a_buffer_is_a_workspace(device: Any) -> None:
    bare = Bare()
    plan = bare.python_plan()
    for workspace in (
        flashdec.Workspace.allocate(plan),  # of cuda.core: there is no array to go by
        flashdec.Workspace.from_array(
            device.allocate(plan.workspace_size + 256, stream=device.default_stream)
        ),
    ):
        assert workspace is not None
        assert workspace.device == "cuda:0"
        assert workspace.nbytes >= plan.workspace_size
        call("cuCtxSynchronize")  # the allocation is in the order of the default stream
        bare.reset()
        plan.run(bare.pointer_args(), workspace)
        check(SPLIT, bare.arrays, bare.fetch())


def test_the_carrier_of_the_selftest(monkeypatch: Any) -> None:
    """Without torch and CuPy, the self-test's arrays go up by cuda.bindings."""
    from flashdec.selftest import carriers

    monkeypatch.setattr(carriers, "_CUDA", {"cuda": carriers._CUDA["cuda"]})
    carrier = carriers.cuda_carrier()
    assert carrier is not None
    assert carrier.name == "cuda-python"
    there, back = np.arange(1000, dtype=np.uint8), np.zeros(1000, np.uint8)
    address, handle = carrier.upload(there)
    assert address
    carrier.download(handle, back)
    assert np.array_equal(there, back)
