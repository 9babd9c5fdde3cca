"""Arguments remember the plan, the workspace and the stream of their last run, and nothing else."""

from __future__ import annotations

import numpy as np
import pytest
from objects import make_args, select
from scene import INVALID_VALUE, check_sentence

import flashdec
from flashdec._call import UNKNOWN

PREPARED = 2  # FLASHDEC_ARGS_PREPARED_WORKSPACE


def bare(filled: flashdec.Args, plan: flashdec.Plan) -> flashdec.PointerArgs:
    """The same by pointers; the caller keeps `filled`."""
    _, struct = filled.bind(plan._address)
    names = flashdec.PointerArgs.field_names()
    return flashdec.PointerArgs(**{name: getattr(struct, name) or 0 for name in names})


def test_another_plan_takes_the_place_of_the_last() -> None:
    few, many = select(scale=0.25), select(scale=0.5)
    workspace = flashdec.Workspace.allocate(many)
    want, args = make_args(), make_args()
    few.run(want, workspace)
    many.run(args, workspace)
    assert not np.array_equal(args.o, want.o)
    few.run(args, workspace)
    assert np.array_equal(args.o, want.o)


def test_another_workspace_takes_the_place_of_the_last() -> None:
    plan, args = select(), make_args()
    first, second = flashdec.Workspace.allocate(plan), flashdec.Workspace.allocate(plan)
    assert first is not None
    assert second is not None
    plan.run(args, first)
    before = first.owner.copy()
    args.q = args.q * 2
    plan.run(args, second)
    assert np.array_equal(first.owner, before)
    with pytest.raises(flashdec.InvalidArgumentError) as caught:
        plan.run(args)
    check_sentence(str(caught.value), "workspace has 0 bytes")
    plan.run(args, first)
    assert not np.array_equal(first.owner, before)


def test_whether_it_is_prepared_is_said_anew() -> None:
    plan, args = select(), make_args()
    plain = flashdec.Workspace.allocate(plan)
    assert plain is not None
    prepared = plain.prepare(plan)
    for given, flag in ((prepared, PREPARED), (plain, 0), (prepared, PREPARED)):
        plan.run(args, given)
        assert args._objects.flags & PREPARED == flag
        pointers = bare(args, plan)
        plan.run(pointers, given)
        assert pointers.flags & PREPARED == flag
        pointers.flags = 0  # as the caller sets it; the workspace is what it was
        plan.run(pointers, given)
        assert pointers.flags & PREPARED == flag


def test_a_stream_is_of_one_run() -> None:
    plan, args = select(), make_args()
    workspace = flashdec.Workspace.allocate(plan)
    for each in (args, bare(args, plan)):
        with pytest.raises(flashdec.InvalidArgumentError) as caught:
            plan.run(each, workspace, stream=1)
        assert caught.value.code == INVALID_VALUE
        check_sentence(str(caught.value), "stream is 0x1")
        plan.run(each, workspace)
        plan.run(each, workspace, stream=0)


def test_a_stream_that_is_given_again_is_the_same() -> None:
    plan, args = select(), make_args()
    workspace = flashdec.Workspace.allocate(plan)
    for each in (args, bare(args, plan)):
        for _ in range(2):
            plan.run(each, workspace, stream=0)
        for _ in range(2):
            with pytest.raises(flashdec.InvalidArgumentError, match="stream is 0x1"):
                plan.run(each, workspace, stream=1)


def test_another_plan_or_workspace_asks_for_the_stream_again() -> None:
    """A plan of another device has another current stream."""
    plan, args = select(), make_args()
    workspace = flashdec.Workspace.allocate(plan)
    for each in (args, bare(args, plan)):
        plan.run(each, workspace, stream=0)
        assert each._call.stream == 0
        each._call.use(select(scale=0.5), workspace)
        assert each._call.stream is UNKNOWN


def test_a_stream_object_is_asked_at_every_run() -> None:
    class Holder:
        cuda_stream = 0

    plan, args, holder = select(), make_args(), Holder()
    workspace = flashdec.Workspace.allocate(plan)
    for each in (args, bare(args, plan)):
        for address in (0, 1, 0):
            holder.cuda_stream = address
            if address == 0:
                plan.run(each, workspace, stream=holder)
                continue
            with pytest.raises(flashdec.InvalidArgumentError, match="stream is 0x1"):
                plan.run(each, workspace, stream=holder)


def test_a_refused_workspace_is_not_remembered() -> None:
    plan, args = select(), make_args()
    workspace = flashdec.Workspace.allocate(plan)
    plan.run(args, workspace)
    want = args.o.copy()
    with pytest.raises(flashdec.InvalidArgumentError, match="workspace is of type int"):
        plan.run(args, 7)  # type: ignore[arg-type]
    args.o = np.zeros_like(want)
    plan.run(args, workspace)
    assert np.array_equal(args.o, want)
