"""Workspaces too small, misaligned or NULL, and streams given to a CPU plan."""

from __future__ import annotations

from typing import Any

import pytest
from scene import (
    INVALID_VALUE,
    MISALIGNED,
    NULL_POINTER,
    ON_CPU,
    PROBLEM,
    WORKSPACE_TOO_SMALL,
    Scene,
    check_sentence,
    last_error,
    poisoned_plan,
    structure,
)

import flashdec
from flashdec import _abi

UNSPLIT = {"max_kv_len": 8}


def refuse(scene: Scene, code: int, *words: object, **given: Any) -> None:
    before = scene.everything()
    assert scene.run(**given) == code
    check_sentence(last_error(), *words)
    assert scene.everything() == before
    assert scene.can_implement() == 0  # it is told of neither workspace nor stream


def test_exact_workspace_is_enough_and_its_neighbours_are_left_alone() -> None:
    scene = Scene()
    size = scene.workspace.nbytes
    room = memoryview(scene.workspace.base)  # type: ignore[arg-type]
    start = scene.workspace.ctypes.data - scene.workspace.base.ctypes.data
    around = bytes(room[:start]), bytes(room[start + size :])
    assert scene.run(nbytes=size) == 0, last_error()
    assert (bytes(room[:start]), bytes(room[start + size :])) == around


@pytest.mark.parametrize("missing", ["one byte", "all"])
def test_too_small_workspace_is_refused(missing: str) -> None:
    scene = Scene()
    need = scene.workspace.nbytes
    have = need - 1 if missing == "one byte" else 0
    refuse(scene, WORKSPACE_TOO_SMALL, f"{have} bytes", need, nbytes=have)


def test_missing_workspace_is_refused() -> None:
    scene = Scene()
    refuse(scene, WORKSPACE_TOO_SMALL, "0 bytes", workspace=None, nbytes=0)
    refuse(scene, NULL_POINTER, "workspace is NULL", workspace=None)


@pytest.mark.parametrize("off", [1, 4, 16, 64, 128])
def test_misaligned_workspace_is_refused(off: int) -> None:
    scene = Scene()
    pointer = scene.workspace.ctypes.data + off
    refuse(scene, MISALIGNED, hex(pointer), scene.align, workspace=pointer)


@pytest.mark.parametrize(("pointer", "nbytes"), [(None, 0), (None, 5), (1, 0), (257, 1000)])
def test_workspace_is_ignored_where_none_is_needed(pointer: int | None, nbytes: int) -> None:
    scene = Scene(more=UNSPLIT)
    assert scene.workspace.nbytes == 0
    assert scene.run(workspace=pointer, nbytes=nbytes) == 0, last_error()


@pytest.mark.parametrize("more", [{}, UNSPLIT], ids=["split", "whole"])
def test_stream_of_a_cpu_plan_is_refused(more: dict[str, int]) -> None:
    refuse(Scene(more=more), INVALID_VALUE, "stream is 0x1000", "NULL", stream=4096)


def test_stream_for_a_cpu_plan_is_refused_by_select() -> None:
    desc, preference = structure(_abi.CDescriptor, **PROBLEM), structure(_abi.CPreference, **ON_CPU)
    plan = poisoned_plan()
    before = bytes(plan)
    code = _abi.select(_abi.address(desc), _abi.address(preference), 4096, _abi.address(plan))
    assert code == INVALID_VALUE
    check_sentence(last_error(), "stream is 0x1000", "NULL")
    assert bytes(plan) == before


def test_python_refuses_the_same() -> None:
    scene = Scene()
    plan, args = scene.python_plan(), scene.pointer_args()
    good = flashdec.Workspace.allocate(plan)
    assert good is not None
    need = plan.workspace_size
    short = flashdec.Workspace(good.pointer, need - 1, "cpu", good)
    skewed = flashdec.Workspace(good.pointer + 4, need, "cpu", good)
    elsewhere = flashdec.Workspace(good.pointer, need, "cuda:0", good)
    cases: list[tuple[Any, Any, int, str]] = [
        (None, None, WORKSPACE_TOO_SMALL, str(need)),
        (short, None, WORKSPACE_TOO_SMALL, str(need - 1)),
        (skewed, None, MISALIGNED, "256"),
        (elsewhere, None, 0, "cuda:0"),
        (good, 4096, INVALID_VALUE, "0x1000"),
        (good, "fast", 0, "str"),
    ]
    before = scene.everything()
    for workspace, stream, code, word in cases:
        with pytest.raises(flashdec.InvalidArgumentError) as caught:
            plan.run(args, workspace, stream)
        assert caught.value.code == code
        check_sentence(str(caught.value), word)
    assert scene.everything() == before
    plan.run(args, good)


def prepare(scene: Scene, **given: Any) -> int:
    values = {
        "plan": _abi.address(scene.plan),
        "workspace": scene.workspace.ctypes.data,
        "nbytes": scene.workspace.nbytes,
        "stream": None,
        **given,
    }
    status: int = _abi.workspace_prepare(*values.values())
    return status


def test_preparing_on_the_cpu_does_nothing() -> None:
    scene = Scene()
    before = scene.everything()
    assert prepare(scene) == 0, last_error()
    assert scene.everything() == before


@pytest.mark.parametrize(("given", "code", "words"), [
    ({"nbytes": 5}, WORKSPACE_TOO_SMALL, ("5 bytes",)),
    ({"workspace": None}, NULL_POINTER, ("workspace is NULL",)),
    ({"workspace": 256 + 8}, MISALIGNED, ("workspace", "256")),
    ({"plan": None}, NULL_POINTER, ("plan",)),
    ({"stream": 1}, INVALID_VALUE, ("stream", "CPU")),
])  # fmt: skip
def test_preparing_is_refused(given: dict[str, Any], code: int, words: tuple[str, ...]) -> None:
    scene = Scene()
    before = scene.everything()
    assert prepare(scene, **given) == code
    check_sentence(last_error(), *words)
    assert scene.everything() == before
