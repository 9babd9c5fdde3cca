"""The size that a plan names is enough, and nothing beside the workspace is written."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import flashdec
from kit.arrays import build
from kit.case import Case
from kit.compare import check, same_bits

ROOM = 4096  # bytes on either side
CASES = [
    Case("bfloat16", 3, 2, 4, 64, 64, 600, (600, 333, 1)),
    Case("float16", 2, 1, 3, 33, 7, 300, (300, 257), 16, split_len=32),
    Case("float32", 1, 2, 17, 80, 129, 400, split_len=32),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.dtype)
def test_bytes_beside_the_workspace(kernel: Any, case: Case) -> None:
    backend, name = kernel
    arrays = build(case)
    plan = backend.plan(case, arrays, name)
    assert plan.info.max_splits > 1
    host = np.full(plan.workspace_size + 2 * ROOM, 0x5A, np.uint8)
    whole = flashdec.Workspace.from_array(backend.carry(host))
    inner = flashdec.Workspace(whole.pointer + ROOM, plan.workspace_size, whole.device, whole.owner)
    carried: dict[int, Any] = {}
    names = ("q", "k", "v", "o", "kv_len", "page_table", "lse")
    views = {n: getattr(arrays, n) for n in names}
    args = flashdec.Args(
        **{n: None if a is None else backend.view(a, carried) for n, a in views.items()}
    )
    plan.run(args, inner)
    backend.finish()
    after = backend.fetch(whole.owner)
    begin = len(after) - whole.nbytes + ROOM
    assert (after[:begin] == 0x5A).all()
    assert (after[begin + plan.workspace_size :] == 0x5A).all()
    result = backend.run(case, arrays, name, plan=plan)
    check(case, arrays, result)
    assert same_bits(np.array(backend.fetch(args.o)), np.array(result.o))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.dtype)
def test_one_byte_less_is_refused(kernel: Any, case: Case) -> None:
    backend, name = kernel
    arrays = build(case)
    plan = backend.plan(case, arrays, name)
    full = backend.workspace(plan, 0)
    short = flashdec.Workspace(full.pointer, full.nbytes - 1, full.device, full.owner)
    carried: dict[int, Any] = {}
    names = ("q", "k", "v", "o")
    views = {n: backend.view(getattr(arrays, n), carried) for n in names}
    table = None if arrays.page_table is None else backend.view(arrays.page_table, carried)
    before = backend.fetch(views["o"]).tobytes()
    with pytest.raises(flashdec.InvalidArgumentError, match="this plan needs"):
        plan.run(flashdec.Args(**views, page_table=table), short)
    backend.finish()
    assert backend.fetch(views["o"]).tobytes() == before
