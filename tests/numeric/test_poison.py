"""What must not be read does not matter: bits are equal whatever lies there."""

from __future__ import annotations

from typing import Any

import pytest

from kit.arrays import build
from kit.case import Case
from kit.compare import same_bits

CASES = [
    Case("bfloat16", 3, 2, 4, 64, 64, 600, (600, 333, 1)),
    Case("float16", 3, 2, 3, 80, 96, 600, (599, 257, 0), 16, "bhsd", "padded"),
    Case("float32", 2, 1, 9, 33, 7, 600, (300, 555), 7, "bshd", "interleaved"),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.dtype)
def test_bits_do_not_depend_on_poison(kernel: Any, case: Case) -> None:
    backend, name = kernel
    clean = build(case, kind="zero")
    want = backend.run(case, clean, name, fill=0)
    assert want.plan.info.max_splits > 1
    for kind in ("nan", "random"):
        for fill in (0, 0xFF, None):
            result = backend.run(case, build(case, kind=kind), name, fill=fill)
            assert same_bits(result.o, want.o), (kind, fill)
            assert same_bits(result.lse, want.lse), (kind, fill)


def test_leftovers_of_another_plan(kernel: Any) -> None:
    backend, name = kernel
    case = CASES[0]
    arrays = build(case)
    want = backend.run(case, arrays, name)
    workspace = backend.workspace(want.plan, 0)
    other = Case("bfloat16", 3, 2, 4, 64, 64, 600, (17, 600, 512), seed=8)
    for each in (other, case):
        put: dict[int, Any] = {}
        made = build(each)
        import flashdec

        args = flashdec.Args(
            **{n: backend.view(getattr(made, n), put) for n in ("q", "k", "v", "o", "kv_len")}
        )
        want.plan.run(args, workspace)
        backend.finish()
    assert same_bits(backend.fetch(args.o).copy(), want.o)
