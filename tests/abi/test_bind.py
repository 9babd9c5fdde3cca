"""Plan.bind: arrays that are read once."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest
from objects import make_args, make_arrays, select
from scene import check_sentence

import flashdec

torch = pytest.importorskip("torch")


def test_it_runs_as_the_arrays_do() -> None:
    plan, args = select(), make_args()
    workspace = flashdec.Workspace.allocate(plan)
    plan.run(args, workspace)
    want = args.o.copy()
    args.o[...] = 7
    plan.run(plan.bind(args), workspace)
    assert np.array_equal(args.o, want)


def test_every_field_is_taken() -> None:
    arrays = make_arrays()
    arrays["lse"] = np.empty((2, 8), np.float32)[:, ::2]
    arrays["kv_len"], arrays["status"] = 3, np.zeros(1, np.uint32)
    plan, args = select(), flashdec.Args(**arrays, base2=True)
    _, struct = args.bind(plan._address)
    bound = plan.bind(args)
    for name in flashdec.PointerArgs.field_names():
        assert getattr(bound, name) == (getattr(struct, name) or 0), name
    assert bound.flags == 5


@pytest.mark.parametrize("library", ["numpy", "torch"])
def test_the_arrays_are_kept_alive(library: str) -> None:
    arrays = make_arrays()
    if library == "torch":
        arrays = {name: torch.from_numpy(array) for name, array in arrays.items()}
    plan = select()
    want = flashdec.Args(**arrays)
    workspace = flashdec.Workspace.allocate(plan)
    plan.run(want, workspace)
    copied = {name: np.copy(array) for name, array in arrays.items() if name != "o"}
    if library == "torch":
        copied = {name: torch.from_numpy(array) for name, array in copied.items()}
    used = weakref.ref(copied["v"])
    bound = plan.bind(flashdec.Args(**copied, o=arrays["o"]))
    before = np.asarray(arrays["o"]).copy()
    np.asarray(arrays["o"])[...] = 7
    copied.clear()
    gc.collect()
    rubbish = [np.full((2, 600, 2, 24), 9, np.float32) for _ in range(8)]
    assert used() is not None
    plan.run(bound, workspace)
    assert rubbish
    assert np.array_equal(np.asarray(arrays["o"]), before)


def test_later_changes_of_args_do_not_reach_it() -> None:
    plan, args = select(), make_args()
    workspace = flashdec.Workspace.allocate(plan)
    bound = plan.bind(args)
    first = args.o
    args.o = np.full_like(first, 7)
    first[...] = 0
    plan.run(bound, workspace)
    assert np.all(args.o == 7)
    assert np.any(first != 0)


def test_it_is_checked() -> None:
    plan, args = select(), make_args()
    args.q = np.zeros((2, 4, 8), np.float32)
    with pytest.raises(flashdec.InvalidArgumentError) as caught:
        plan.bind(args)
    check_sentence(str(caught.value), "q has 8 elements along axis 2")
    args = make_args()
    args.kv_len = 601
    with pytest.raises(flashdec.InvalidArgumentError, match="uniform_kv_len is 601"):
        plan.bind(args)
    with pytest.raises(flashdec.InvalidArgumentError, match="args is of type int"):
        plan.bind(3)  # type: ignore[arg-type]
