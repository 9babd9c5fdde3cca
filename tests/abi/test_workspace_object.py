"""Workspaces from arrays: aligned, writable, packed and large enough, or refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from objects import make_args, select
from scene import WORKSPACE_TOO_SMALL, check_sentence

import flashdec


def test_workspace_is_none_where_none_is_needed() -> None:
    plan = select(max_kv_len=8)
    assert plan.workspace_size == 0
    assert flashdec.Workspace.allocate(plan) is None
    with pytest.raises(flashdec.InvalidArgumentError):
        plan.run(flashdec.PointerArgs(), None)  # for its pointers, not for the workspace


def test_allocated_workspace_is_aligned_and_large_enough() -> None:
    plan = select()
    workspace = flashdec.Workspace.allocate(plan)
    assert workspace is not None
    assert workspace.pointer % 256 == 0
    assert workspace.nbytes >= plan.workspace_size
    assert workspace.device == "cpu"
    assert workspace.owner is not None


def test_a_prepared_workspace_says_so_and_runs() -> None:
    plan, args = select(), make_args()
    workspace = flashdec.Workspace.allocate(plan)
    assert workspace is not None
    assert not workspace.prepared  # the CPU has one way only
    prepared = workspace.prepare(plan)
    assert prepared.prepared
    assert (prepared.pointer, prepared.nbytes) == (workspace.pointer, workspace.nbytes)
    plan.run(args, prepared)
    want = args.o.copy()
    plan.run(args, workspace)
    assert args.o.any()
    assert (args.o == want).all()


def test_workspace_one_byte_short_is_refused() -> None:
    plan, args = select(), make_args()
    block = np.zeros(plan.workspace_size + 256, np.uint8)
    start = -block.ctypes.data % 256
    exact = block[start : start + plan.workspace_size]
    with pytest.raises(flashdec.InvalidArgumentError) as caught:
        plan.run(args, flashdec.Workspace.from_array(exact[:-1]))
    assert caught.value.code == WORKSPACE_TOO_SMALL
    check_sentence(str(caught.value), plan.workspace_size - 1, plan.workspace_size)
    assert not exact.any()
    assert not args.o.any()
    plan.run(args, flashdec.Workspace.from_array(exact))
    assert args.o.any()


def read_only() -> Any:
    array = np.zeros(1024, np.uint8)
    array.flags.writeable = False
    return array


def too_small() -> Any:
    block = np.zeros(1024, np.uint8)
    start = -block.ctypes.data % 256 + 1
    return block[start : start + 255]  # ends where the first aligned byte is


REFUSED = {
    "read-only": (read_only, "read-only"),
    "unpacked": (lambda: np.zeros((64, 64), np.uint8)[:, ::2], "packed"),
    "transposed": (lambda: np.zeros((64, 32), np.uint8).T, "packed"),
    "reversed": (lambda: np.zeros(1024, np.uint8)[::-1], "packed"),
    "empty": (lambda: np.zeros(0, np.uint8), "0 bytes"),
    "too small": (too_small, "255 bytes"),
    "no array": (lambda: 4096, "int"),
}


@pytest.mark.parametrize(("make", "word"), REFUSED.values(), ids=REFUSED)
def test_bad_workspace_array_is_refused(make: Any, word: str) -> None:
    with pytest.raises(flashdec.InvalidArgumentError, match="workspace") as caught:
        flashdec.Workspace.from_array(make())
    check_sentence(str(caught.value), word)


@pytest.mark.parametrize("dtype", ["uint8", "float32", "int16", "float64", "complex128"])
def test_workspace_of_any_dtype(dtype: str) -> None:
    array = np.zeros((64, 32), dtype)
    workspace = flashdec.Workspace.from_array(array)
    end = array.ctypes.data + array.nbytes
    assert workspace.pointer % 256 == 0
    assert workspace.pointer + workspace.nbytes == end


def test_array_in_place_of_a_workspace_is_refused() -> None:
    with pytest.raises((flashdec.InvalidArgumentError, TypeError)):
        select().run(make_args(), np.zeros(100000, np.uint8))  # type: ignore[arg-type]
