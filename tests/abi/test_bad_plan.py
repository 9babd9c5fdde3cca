"""Plans that this build did not make, or that something has written to."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from typing import Any

import pytest
from scene import INVALID_PLAN, NULL_POINTER, Scene, check_sentence, last_error, structure

from flashdec import _abi, _abi_dlpack
from flashdec._enums import Axes

PLAN_BYTES = 1024
run_objects = _abi.bind("flashdec_run_objects")


def _objects(plan: Any) -> int:
    args = structure(_abi.CArgs)
    slots = _abi_dlpack.OBJECT_SLOTS()
    return int(
        _abi_dlpack.args_from_objects(plan, 1, _abi.address(slots), _abi.address(args), None)
    )


def _run_objects(plan: Any) -> int:
    objects = _abi_dlpack.make_objects(Axes.BSHD)
    objects.plan = plan
    return int(run_objects(_abi.address(objects)))


def _size(plan: Any) -> int:
    words = ctypes.c_uint64(7), ctypes.c_uint64(7)
    code: int = _abi.workspace_size(plan, *words)
    assert code == 0 or [word.value for word in words] == [7, 7]
    return code


def _written(call: Callable[[Any, Any], int], kind: Any) -> Callable[[Any], int]:
    def run(plan: Any) -> int:
        target = structure(kind)
        before = bytes(target)
        code = call(plan, _abi.address(target))
        assert code == 0 or bytes(target) == before
        return code

    return run


def _can_implement(plan: Any) -> int:
    scene = Scene()
    return int(_abi.can_implement(plan, _abi.address(scene.args)))


def _run(plan: Any) -> int:
    scene = Scene()
    before = scene.everything()
    code: int = _abi.run(plan, _abi.address(scene.args), scene.workspace.ctypes.data,
                         scene.workspace.nbytes, None)  # fmt: skip
    assert code == 0 or scene.everything() == before
    return code


CALLS: dict[str, Callable[[Any], int]] = {
    "workspace_size": _size,
    "can_implement": _can_implement,
    "run": _run,
    "sku": _written(_abi.sku, _abi.CKernelSku),
    "plan_info": _written(_abi.plan_info, _abi.CPlanFacts),
    "args_from_objects": _objects,
    "run_objects": _run_objects,
}


def changed(edits: dict[int, int]) -> Any:
    plan = Scene().plan
    view = (ctypes.c_uint8 * PLAN_BYTES).from_buffer(plan)
    for place, bits in edits.items():
        view[place] ^= bits
    return plan


def from_bytes(content: bytes) -> Any:
    return _abi.CPlan.from_buffer_copy(content)


FOREIGN: dict[str, Callable[[], tuple[Any, tuple[object, ...]]]] = {
    "zeros": lambda: (from_bytes(bytes(PLAN_BYTES)), ("0x0000000000000000",)),
    "ones": lambda: (from_bytes(b"\xff" * PLAN_BYTES), ("0xffffffffffffffff",)),
    "random": lambda: (from_bytes(os.urandom(PLAN_BYTES)), ("flashdec_select",)),
    "another build": lambda: (changed({8: 0x80, 27: 1}), ("another build", "select it again")),
    "a changed size": lambda: (changed({48: 1}), ("changed", "select it again")),
    "a changed checksum": lambda: (changed({32: 1}), ("changed",)),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_null_plan_is_refused(call: Callable[[Any], int]) -> None:
    assert call(None) == NULL_POINTER
    check_sentence(last_error(), "plan is NULL")


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
@pytest.mark.parametrize("make", FOREIGN.values(), ids=FOREIGN)
def test_foreign_plan_is_refused(
    call: Callable[[Any], int], make: Callable[[], tuple[Any, tuple[object, ...]]]
) -> None:
    plan, words = make()
    before = bytes(plan)
    assert call(_abi.address(plan)) == INVALID_PLAN
    check_sentence(last_error(), "plan", *words)
    assert bytes(plan) == before


def used_bytes() -> int:
    """The last field says whether FLASHDEC_CHECK was set, so that it is used bytes then."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FLASHDEC_CHECK", "1")
        return len(bytes(Scene().plan).rstrip(b"\0"))


def test_every_flipped_bit_is_noticed() -> None:
    scene = Scene()
    plan, args = scene.plan, _abi.address(scene.args)
    view = (ctypes.c_uint8 * PLAN_BYTES).from_buffer(plan)
    used = used_bytes()
    assert 200 < used < PLAN_BYTES
    for place in range(used):
        for bit in range(8):
            view[place] ^= 1 << bit
            code = _abi.can_implement(_abi.address(plan), args)
            assert code == INVALID_PLAN, f"bit {bit} of byte {place}"
            view[place] ^= 1 << bit


def test_two_swapped_words_are_noticed() -> None:
    content = bytearray(bytes(Scene().plan))
    content[48:56], content[56:64] = content[56:64], content[48:56]
    assert content != bytes(Scene().plan)
    assert _can_implement(_abi.address(from_bytes(bytes(content)))) == INVALID_PLAN


def test_unused_bytes_are_zero() -> None:
    assert set(bytes(Scene().plan)[used_bytes() + 8 :]) == {0}


def test_a_plan_may_lie_at_any_address() -> None:
    plan = Scene().plan
    room = ctypes.create_string_buffer(PLAN_BYTES + 8)
    for shift in range(8):
        target = ctypes.addressof(room) + shift
        ctypes.memmove(target, _abi.address(plan), PLAN_BYTES)
        assert _can_implement(target) == 0, last_error()


def test_equal_problems_give_equal_bytes() -> None:
    assert bytes(Scene().plan) == bytes(Scene().plan)
    assert bytes(Scene().plan) != bytes(Scene(more={"scale": 0.5}).plan)
