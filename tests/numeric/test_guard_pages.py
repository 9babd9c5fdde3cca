"""No byte beside an array is touched: each lies against a page that may not be read (CPU).

Every array is placed once with its end and once with its start at the edge of its memory.  A
breach kills the process, so it is done in a process of its own.
"""

from __future__ import annotations

import ctypes
import itertools
import mmap
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kit.backends import Cpu, environment
from kit.processor import skip_without

PAGE = mmap.PAGESIZE
DIMS = [1, 2, 3, 7, 8, 15, 16, 17, 31, 33, 40, 63, 64, 65, 80, 96, 127, 128, 129, 255, 256]
ENDS = (True, False)  # the array ends, or begins, at a guard page
kept: list[Any] = []  # mappings stay until a run is over


def guarded(array: Any, at_end: bool) -> Any:
    """Copy an array to memory between two pages that cannot be touched."""
    libc = ctypes.CDLL(None, use_errno=True)
    nbytes = max(array.nbytes, 1)
    inner = -(-nbytes // PAGE) * PAGE
    memory = mmap.mmap(-1, inner + 2 * PAGE)
    kept.append(memory)
    base = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    start = PAGE + (inner - nbytes if at_end else 0)
    copy = np.frombuffer(memory, np.uint8, array.nbytes, start).view(array.dtype)
    copy = copy.reshape(array.shape)
    copy[...] = array
    for page in (base, base + PAGE + inner):
        assert libc.mprotect(ctypes.c_void_p(page), ctypes.c_size_t(PAGE), 0) == 0
    return copy


def run_guarded(isa: str, dtype: str) -> None:
    """Run many shapes with every array guarded."""
    import flashdec
    from kit.arrays import build
    from kit.case import Case

    # Two splits of each sequence or one, three key/value heads in an item or one.
    shapes = [(0, 32, "bshd"), (3, 32, "bshd"), (0, 0, "bhsd"), (3, 0, "bshd")]
    for dim, at_end, (page_size, split_len, layout) in itertools.product(DIMS, ENDS, shapes):
        case = Case(dtype, 4, 3, 3, dim, 257 - dim, 41, (37, 0, 33, 41), page_size, layout)
        case = replace(case, split_len=split_len)
        want = Cpu().run(case, build(case), isa)
        made = build(case)
        names = ("q", "k", "v", "o", "lse", "kv_len", "page_table")
        arrays = {name: getattr(made, name) for name in names}
        arrays["status"] = np.zeros(1, np.int32)
        put = {
            n: None if a is None else guarded(np.ascontiguousarray(a), at_end)
            for n, a in arrays.items()
        }
        desc = case.descriptor(made.num_pages, put["q"].dtype.itemsize)
        with environment(FLASHDEC_ISA=isa):
            plan = flashdec.Plan.select(desc, case.preference(prefer_backend="cpu"))
        assert plan.info.max_splits == (2 if split_len else 1)
        space = None
        if plan.workspace_size:
            memory = guarded(np.full(plan.workspace_size, 0xFF, np.uint8), True)
            space = flashdec.Workspace.from_array(memory)
        plan.run(flashdec.Args(**put, layout=layout), space)
        assert put["o"].tobytes() == want.o.tobytes(), case
        assert put["status"][0] == 0
        kept.clear()


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("isa", Cpu().kernels())
def test_guard_pages(isa: str, dtype: str) -> None:
    skip_without(isa)
    tests = Path(__file__).parents[1]
    code = (
        f"import sys; sys.path[:0] = [{str(tests)!r}, {str(tests / 'numeric')!r}];"
        f"import test_guard_pages as t; t.run_guarded({isa!r}, {dtype!r}); print('done')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "done", f"exit status {done.returncode}: {done.stderr[-2000:]}"
