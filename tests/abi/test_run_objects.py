"""flashdec_run_objects: one call that reads the arrays of Python objects and runs."""

from __future__ import annotations

import ctypes
import threading
from typing import Any

import numpy as np
import pytest
from objects import make_arrays, select
from scene import (
    INVALID_FLAGS,
    INVALID_STRUCT_SIZE,
    INVALID_VALUE,
    NULL_POINTER,
    WORKSPACE_TOO_SMALL,
    check_sentence,
    last_error,
)

import flashdec
from flashdec import _abi, _abi_dlpack

run_objects = _abi.bind("flashdec_run_objects")


class Call:
    """A call by hand, of which every field can be changed."""

    def __init__(self) -> None:
        self.arrays = make_arrays()
        self.plan = select()
        self.args = flashdec.Args(**self.arrays)
        self.objects = self.args._objects
        self.args._call.use(self.plan, flashdec.Workspace.allocate(self.plan))

    def __call__(self) -> int:
        return self.args._call.run()

    def wrote(self) -> bool:
        return not np.all(self.arrays["o"] == 7)


def test_it_runs() -> None:
    call = Call()
    assert call() == 0, last_error()
    assert np.allclose(call.arrays["o"], 1)


def test_the_function_of_c_and_the_method_do_the_same() -> None:
    call = Call()
    assert run_objects(_abi.address(call.objects)) == call() == 0, last_error()
    call.objects.uniform_kv_len = 3
    assert run_objects(_abi.address(call.objects)) == call() == INVALID_VALUE


def test_the_method_takes_no_capsule_of_another_kind() -> None:
    new_capsule = ctypes.pythonapi.PyCapsule_New
    new_capsule.restype = ctypes.py_object
    new_capsule.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
    call, name = Call(), b"something else"
    method = _abi.bind("flashdec_run_method")
    with pytest.raises(ValueError, match="incorrect name"):
        method(new_capsule(_abi.address(call.objects), name, None), None)
    with pytest.raises(ValueError, match="invalid PyCapsule"):
        method("no capsule at all", None)
    assert not call.wrote()


def test_arguments_filled_by_the_caller_take_the_place_of_objects() -> None:
    call = Call()
    status, struct = call.args.bind(call.plan._address)
    assert status == 0
    objects = _abi_dlpack.make_objects()
    for name in ("plan", "workspace", "workspace_bytes"):
        setattr(objects, name, getattr(call.objects, name))
    objects.args = _abi.address(struct)
    assert run_objects(_abi.address(objects)) == 0, last_error()
    assert np.allclose(call.arrays["o"], 1)


TWICE: dict[str, tuple[dict[str, Any], tuple[object, ...]]] = {
    "axes": ({}, ("axes 1", "must be 0 where args is given")),
    "flags": ({"axes": 0, "flags": 2}, ("flags 0x2", "must be 0 where args is given")),
    "length": ({"axes": 0, "uniform_kv_len": 3}, ("uniform_kv_len 3", "must be 0")),
    "objects": ({"axes": 0}, ("q is given as an object, and args too",)),
}


@pytest.mark.parametrize(("fields", "words"), TWICE.values(), ids=TWICE)
def test_both_are_refused(fields: dict[str, Any], words: tuple[object, ...]) -> None:
    call = Call()
    _, struct = call.args.bind(call.plan._address)
    call.objects.args = _abi.address(struct)
    for name, value in fields.items():
        setattr(call.objects, name, value)
    assert call() == INVALID_VALUE
    check_sentence(last_error(), *words)
    assert not call.wrote()


BAD: dict[str, tuple[dict[str, Any], int, tuple[object, ...]]] = {
    "reserved": ({"reserved": 4}, INVALID_FLAGS, ("objects->reserved", "0x4")),
    "flags": ({"flags": 0x40}, INVALID_FLAGS, ("args->flags", "0x40")),
    "both lengths": ({"flags": 1}, INVALID_VALUE, ("kv_len is given",)),
    "length without its flag": ({"uniform_kv_len": 3}, INVALID_VALUE, ("uniform_kv_len is 3",)),
    "axes": ({"axes": 3}, INVALID_VALUE, ("axes is 3",)),
    "struct_size": ({"struct_size": 8}, INVALID_STRUCT_SIZE, ("objects->struct_size is 8",)),
    "plan": ({"plan": None}, NULL_POINTER, ("plan is NULL",)),
    "workspace": ({"workspace": None}, NULL_POINTER, ("workspace is NULL",)),
    "workspace_bytes": ({"workspace_bytes": 8}, WORKSPACE_TOO_SMALL, ("workspace has 8 bytes",)),
    "stream": ({"stream": 1}, INVALID_VALUE, ("stream is 0x1",)),
}


@pytest.mark.parametrize(("fields", "code", "words"), BAD.values(), ids=BAD)
def test_refused(fields: dict[str, Any], code: int, words: tuple[object, ...]) -> None:
    call = Call()
    for name, value in fields.items():
        setattr(call.objects, name, value)
    before = bytes(call.objects)
    assert call() == code
    check_sentence(last_error(), *words)
    assert not call.wrote()
    assert bytes(call.objects) == before


def test_refusals_and_runs_of_threads_keep_the_gil_in_order() -> None:
    """A refusal is thrown while the GIL is released, and takes it again."""

    def work(calls: list[Call], codes: list[int]) -> None:
        codes += [call() for _ in range(200) for call in calls]

    found: list[list[int]] = [[] for _ in range(4)]
    threads = []
    for codes in found:
        good, bad = Call(), Call()
        bad.objects.uniform_kv_len = 3
        threads.append(threading.Thread(target=work, args=([good, bad], codes)))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [[0, INVALID_VALUE] * 200] * 4


def test_assigned_arrays_are_kept_alive() -> None:
    call = Call()
    call.args.q = np.zeros((2, 4, 16), np.float32)
    call.args.v = np.full((2, 600, 2, 24), 3, np.float32)
    rubbish = [np.full((2, 600, 2, 24), 9, np.float32) for _ in range(8)]
    assert call() == 0, last_error()
    assert rubbish
    assert np.allclose(call.arrays["o"], 3)
