"""Args and PointerArgs: arrays and fields are swapped, or refused and kept."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from objects import make_args, select
from scene import check_sentence

import flashdec


def test_args_swap_arrays() -> None:
    plan, args, other = select(), make_args(), make_args(seed=1)
    workspace = flashdec.Workspace.allocate(plan)
    plan.run(args, workspace)
    plan.run(other, workspace)
    first = args.o.copy()
    args.q, args.k, args.v = other.q, other.k, other.v
    plan.run(args, workspace)
    assert np.array_equal(args.o, other.o)
    assert not np.array_equal(args.o, first)


BAD_VALUES = {"q": "text", "o": 5, "lse": object(), "kv_len": "5", "page_table": [1]}


@pytest.mark.parametrize("name", BAD_VALUES)
def test_refused_assignment_changes_nothing(name: str) -> None:
    plan, args = select(), make_args(kv_len=5)
    workspace = flashdec.Workspace.allocate(plan)
    plan.run(args, workspace)
    kept, before = getattr(args, name), args.o.copy()
    with pytest.raises(flashdec.InvalidArgumentError, match=name):
        setattr(args, name, BAD_VALUES[name])
    assert getattr(args, name) is kept
    args.o[...] = 0
    plan.run(args, workspace)
    assert np.array_equal(args.o, before)


@pytest.mark.parametrize("length", [2**63, 2**64 + 5, -(2**63) - 1])
def test_length_that_fits_no_int64_is_refused(length: int) -> None:
    with pytest.raises(flashdec.InvalidArgumentError, match="kv_len"):
        make_args(kv_len=length)
    args = make_args(kv_len=5)
    with pytest.raises(flashdec.InvalidArgumentError, match="kv_len"):
        args.kv_len = length
    assert args.kv_len == 5


def test_kv_len_goes_from_number_to_array_to_none() -> None:
    plan, args = select(), make_args(kv_len=7)
    workspace = flashdec.Workspace.allocate(plan)
    plan.run(args, workspace)
    short = args.o.copy()
    args.kv_len = np.full(2, 7, np.int32)
    args.o[...] = 0
    plan.run(args, workspace)
    assert np.array_equal(args.o, short)
    args.kv_len = None
    plan.run(args, workspace)
    assert not np.array_equal(args.o, short)


def test_pointer_args_read_back() -> None:
    args = flashdec.PointerArgs(q=4096, q_stride_batch=-3, flags=1)
    assert (args.q, args.q_stride_batch, args.flags, args.k, args.k_stride_head) == (
        4096, -3, 1, 0, 0,
    )  # fmt: skip


@pytest.mark.parametrize("name", ["q", "lse", "q_stride_batch", "flags"])
def test_pointer_args_can_be_cleared(name: str) -> None:
    args = flashdec.PointerArgs(**{name: 64})
    setattr(args, name, 0)
    assert getattr(args, name) == 0
    assert getattr(flashdec.PointerArgs(**{name: 0}), name) == 0


@pytest.mark.parametrize("name", ["query", "struct_size", "_struct", ""])
def test_unknown_field_is_refused(name: str) -> None:
    with pytest.raises(flashdec.InvalidArgumentError, match="no field"):
        flashdec.PointerArgs(**{name: 1})
    with pytest.raises(flashdec.InvalidArgumentError, match="no field"):
        setattr(flashdec.PointerArgs(), name, 1)
    if not name.startswith("_"):
        with pytest.raises(AttributeError):
            getattr(flashdec.PointerArgs(), name)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("q", 2**64), ("q", 2**64 + 16), ("q", -1), ("q", 1.5), ("q", "16"),
        ("q_stride_batch", 2**63), ("q_stride_batch", -(2**63) - 1), ("q_stride_batch", 0.5),
        ("flags", 2**32), ("flags", 2**32 + 1), ("flags", -1), ("uniform_kv_len", 2**64 + 1),
    ],
)  # fmt: skip
def test_overflowing_field_is_refused_and_kept(name: str, value: Any) -> None:
    args = flashdec.PointerArgs(**{name: 32})
    with pytest.raises(flashdec.InvalidArgumentError, match=name) as caught:
        setattr(args, name, value)
    check_sentence(str(caught.value), value)
    assert getattr(args, name) == 32
