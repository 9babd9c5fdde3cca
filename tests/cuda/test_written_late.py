"""The kernel before writes page ids and lengths at its very end, when ours has begun to read them.

A kernel may let the next one of its stream begin before it has ended (programmatic dependent
launch).  This one does so at once, waits for 20 microseconds and then writes.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from bare import SPLIT, Bare, last_error

from flashdec import _abi
from kit.arrays import build
from kit.case import Case
from kit.compare import check
from kit.driver import Memory, call, driver, enter, new_stream

pytestmark = [pytest.mark.cuda(by="bindings"), pytest.mark.usefixtures("primary")]

WRITER = b"""
.version 8.0
.target sm_90
.address_size 64
.visible .entry write_late(.param .u64 target, .param .u64 source, .param .u32 words)
{
  .reg .pred done;
  .reg .u32 i, count, step, word;
  .reg .u64 now, end, to, from, at, offset;
  griddepcontrol.launch_dependents;
  mov.u64 end, %globaltimer;
  add.u64 end, end, 20000;
WAIT:
  mov.u64 now, %globaltimer;
  setp.lt.u64 done, now, end;
  @done bra WAIT;
  ld.param.u64 to, [target];
  ld.param.u64 from, [source];
  ld.param.u32 count, [words];
  mov.u32 i, %tid.x;
  mov.u32 step, %ntid.x;
NEXT:
  setp.ge.u32 done, i, count;
  @done bra END;
  mul.wide.u32 offset, i, 4;
  add.u64 at, from, offset;
  ld.global.u32 word, [at];
  add.u64 at, to, offset;
  st.global.u32 [at], word;
  add.u32 i, i, step;
  bra NEXT;
END:
  ret;
}
\0"""


@dataclass(frozen=True)
class Writer:
    """Overwrites an array of a case, late."""

    function: Any
    name: str
    bare: Bare
    right: Memory
    old: Any

    def enqueue(self, stream: int) -> None:
        """From what was there before to what a run is to see."""
        target = self.bare.memory[self.name]
        target.upload(self.old)
        call("cuCtxSynchronize")
        arguments = (target.pointer, self.right.pointer, self.old.size)
        kinds = (ctypes.c_uint64, ctypes.c_uint64, ctypes.c_uint32)
        call("cuLaunchKernel", self.function, 1, 1, 1, 128, 1, 1, 0, stream, (arguments, kinds), 0)


@pytest.fixture(scope="module")
def function() -> Any:
    enter()
    device = call("cuCtxGetDevice")
    major = driver().CUdevice_attribute.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR
    if call("cuDeviceGetAttribute", major, device) < 9:
        pytest.skip("kernels overlap from sm_90 on")
    return call("cuModuleGetFunction", call("cuModuleLoadData", WRITER), b"write_late")


PAGES = replace(SPLIT, group=4, split_len=0, capacity=3000, lengths=(3000, 40, 1333))
CASES = {
    "one sequence": replace(PAGES, batch=1, lengths=(3000,)),
    "equal lengths": replace(PAGES, lengths=(3000,) * 3),
    "whole units": replace(PAGES, batch=160, capacity=400, lengths=(400,) * 160),
    "unequal lengths": PAGES,
    "whole units, unequal": replace(PAGES, batch=160, capacity=400, lengths=(400, 64, 333, 1) * 40),
    "batch-invariant": replace(PAGES, batch_invariant=True),
    "group of 16": replace(PAGES, group=16),
    "simple": replace(PAGES, page_size=3),
}


def with_writer(function: Any, case: Case, name: str) -> Writer:
    bare = Bare(case)
    right = getattr(bare.arrays, name)
    if name == "page_table":
        old = getattr(build(case, page_order=99), name)
        assert (old != right).any()
    else:
        old = np.minimum(right // 2 + 7, case.capacity).astype(right.dtype)
    source = Memory(right.nbytes)
    source.upload(right)
    return Writer(function, name, bare, source, old)


@pytest.mark.parametrize("prepared", [False, True], ids=["two launches", "one launch"])
@pytest.mark.parametrize("name", ["page_table", "kv_len"])
@pytest.mark.parametrize("kind", CASES)
def test_what_the_kernel_before_writes_is_seen(
    function: Any, kind: str, name: str, prepared: bool
) -> None:
    case = CASES[kind]
    writer = with_writer(function, case, name)
    bare, stream = writer.bare, new_stream()
    if prepared:
        bare.args.flags |= _abi.ARGS_PREPARED_WORKSPACE
    for _ in range(3):  # the first time, kernels are loaded, which may take longer than the writer
        bare.reset()
        if prepared:
            bare.workspace.upload(np.full(bare.nbytes, 0xFF, np.uint8))
        writer.enqueue(stream)
        assert bare.run(stream) == 0, last_error()
        call("cuStreamSynchronize", stream)
    check(case, bare.arrays, bare.fetch())
    assert ("_sm90_" in bare.python_plan().sku.name) == (kind != "simple")
