"""On a part of the device (a green context) the blocks of a grid cannot be resident together: two
launches take the place of one, with the same bits."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from bare import SPLIT, Bare, last_error

from flashdec import _abi
from kit.case import Case
from kit.compare import check, same_bits
from kit.driver import (
    Capture,
    call,
    driver,
    instantiate,
    new_stream,
    primary_context,
    wait_for,
)

pytestmark = [pytest.mark.cuda(by="bindings"), pytest.mark.usefixtures("primary")]

UNEVEN = replace(SPLIT, batch=5, lengths=(600, 599, 0, 1, 444), split_len=0)
ONE_LENGTH = Case("float16", 2, 2, 4, 128, 128, 3000, 3000, seed=4)
MULTIPROCESSORS = 16


@pytest.fixture(scope="module")
def stream_of_a_part() -> int:
    """A stream of a few multiprocessors."""
    call("cuCtxPushCurrent", primary_context())
    try:
        return new_stream_of_a_part()
    finally:
        call("cuCtxPopCurrent")


def new_stream_of_a_part() -> int:
    names = ("cuGreenCtxCreate", "cuGreenCtxStreamCreate", "cuDevSmResourceSplitByCount")
    if not all(hasattr(driver(), name) for name in names):
        pytest.skip("this cuda.bindings has no green contexts")
    kind = driver().CUdevResourceType.CU_DEV_RESOURCE_TYPE_SM
    device = call("cuCtxGetDevice")
    whole = call("cuDeviceGetDevResource", device, kind)
    status, parts, *_ = driver().cuDevSmResourceSplitByCount(1, whole, 0, MULTIPROCESSORS)
    if status != driver().CUresult.CUDA_SUCCESS:
        pytest.skip(f"the device cannot be split: {status!r}")
    described = call("cuDevResourceGenerateDesc", parts, 1)
    flags = driver().CUgreenCtxCreate_flags.CU_GREEN_CTX_DEFAULT_STREAM
    green = call("cuGreenCtxCreate", described, device, flags)
    return int(call("cuGreenCtxStreamCreate", green, 1, 0))


def prepared(case: Case) -> tuple[Bare, Any]:
    """A case with a prepared workspace, and what two launches on the whole device give."""
    bare, stream = Bare(case), new_stream()
    assert bare.nbytes > 0
    assert bare.run(stream) == 0, last_error()
    want = bare.fetch()
    check(case, bare.arrays, want)
    bare.reset()
    workspace = bare.workspace.pointer, bare.nbytes
    plan = _abi.address(bare.plan)
    assert _abi.workspace_prepare(plan, *workspace, stream) == 0, last_error()
    call("cuStreamSynchronize", stream)
    bare.args.flags |= _abi.ARGS_PREPARED_WORKSPACE
    return bare, want


def compare(bare: Bare, want: Any) -> None:
    found = bare.fetch()
    assert same_bits(found.o, want.o)
    assert same_bits(found.lse, want.lse)
    assert bool((bare.workspace.download()[: bare.nbytes] == 0xFF).all())


@pytest.mark.parametrize("case", [UNEVEN, ONE_LENGTH, SPLIT], ids=["lengths", "one", "fixed"])
def test_a_part_of_the_device_gives_the_same_bits(case: Case, stream_of_a_part: int) -> None:
    bare, want = prepared(case)
    for _ in range(3):
        assert bare.run(stream_of_a_part) == 0, last_error()
        wait_for(stream_of_a_part)
    compare(bare, want)


@pytest.mark.parametrize("case", [UNEVEN, ONE_LENGTH, SPLIT], ids=["lengths", "one", "fixed"])
def test_a_part_of_the_device_in_a_graph(case: Case, stream_of_a_part: int) -> None:
    bare, want = prepared(case)
    with Capture(stream_of_a_part) as captured:
        status = bare.run(stream_of_a_part)
    assert status == 0, last_error()
    graph = instantiate(captured.graph)
    for _ in range(3):
        call("cuGraphLaunch", graph, stream_of_a_part)
        wait_for(stream_of_a_part)
    compare(bare, want)
