"""Objects that only have ``__dlpack__``: whatever a capsule can hold."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
import pytest
from objects import make_arrays, select
from scene import INVALID_VALUE, NULL_POINTER, WRONG_DEVICE, check_sentence

import flashdec

CPU, CUDA, METAL = 1, 2, 8  # DLDeviceType
INT, FLOAT = 0, 2  # DLDataTypeCode


class DLTensor(ctypes.Structure):
    _fields_ = [
        ("data", ctypes.c_void_p),
        ("device_type", ctypes.c_int32),
        ("device_id", ctypes.c_int32),
        ("ndim", ctypes.c_int32),
        ("code", ctypes.c_uint8),
        ("bits", ctypes.c_uint8),
        ("lanes", ctypes.c_uint16),
        ("shape", ctypes.c_void_p),
        ("strides", ctypes.c_void_p),
        ("byte_offset", ctypes.c_uint64),
    ]


class Versioned(ctypes.Structure):  # DLManagedTensorVersioned
    _fields_ = [
        ("major", ctypes.c_uint32),
        ("minor", ctypes.c_uint32),
        ("manager", ctypes.c_void_p),
        ("deleter", ctypes.c_void_p),
        ("flags", ctypes.c_uint64),
        ("tensor", DLTensor),
    ]


class Exported:
    """An array of no library, of which every word can be set."""

    def __init__(self, array: Any, *, name: bytes = b"dltensor", major: int = 1, flags: int = 0,
                 **words: Any) -> None:  # fmt: skip
        self.array, self.name = array, name
        self.shape = (ctypes.c_int64 * 16)(*array.shape, *[1] * (16 - array.ndim))
        code = FLOAT if array.dtype.kind == "f" else INT
        self.tensor = DLTensor(
            array.ctypes.data, CPU, 0, array.ndim, code, array.itemsize * 8, 1,
            ctypes.addressof(self.shape), None, 0,
        )  # fmt: skip
        for word, value in words.items():
            setattr(self.tensor, word, value)
        self.versioned = Versioned(major, 3, None, None, flags, self.tensor)

    def __dlpack_device__(self) -> tuple[int, int]:
        return self.tensor.device_type, self.tensor.device_id

    def __dlpack__(self, **_: Any) -> Any:
        make = ctypes.pythonapi.PyCapsule_New
        make.restype, make.argtypes = ctypes.py_object, [ctypes.c_void_p] * 3
        self.kept = ctypes.create_string_buffer(self.name)
        held = self.versioned if self.name == b"dltensor_versioned" else self.tensor
        return make(ctypes.addressof(held), ctypes.addressof(self.kept), None)


VERSIONED = {"name": b"dltensor_versioned"}


@pytest.mark.parametrize("kind", [{}, VERSIONED], ids=["legacy", "versioned"])
def test_capsules_are_read(kind: dict[str, Any]) -> None:
    plan, arrays = select(), make_arrays()
    plan.run(
        flashdec.Args(**{name: Exported(array, **kind) for name, array in arrays.items()}),
        flashdec.Workspace.allocate(plan),
    )
    assert np.allclose(arrays["o"], 1)


def test_numpy_as_capsules_is_numpy() -> None:
    class Wrapped:
        def __init__(self, array: Any) -> None:
            self.__dlpack__ = array.__dlpack__
            self.__dlpack_device__ = array.__dlpack_device__

    plan, arrays = select(), make_arrays()
    args = flashdec.Args(**{name: Wrapped(array) for name, array in arrays.items()})
    plan.run(args, flashdec.Workspace.allocate(plan))
    assert np.allclose(arrays["o"], 1)


REFUSED: dict[str, tuple[str, dict[str, Any], int, tuple[object, ...]]] = {
    "cuda": ("q", {"device_type": CUDA}, WRONG_DEVICE, ("q is on a CUDA device", "the CPU")),
    "metal": ("k", {"device_type": METAL}, WRONG_DEVICE, ("k is on", "the CPU")),
    "no memory": ("v", {"data": None}, NULL_POINTER, ("v has no memory",)),
    "lanes": ("q", {"lanes": 2}, INVALID_VALUE, ("q has elements",)),
    "no lanes": ("q", {"lanes": 0}, INVALID_VALUE, ("q has elements",)),
    "lanes of int": ("kv_len", {"lanes": 2}, INVALID_VALUE, ("kv_len has elements",)),
    "bool": ("q", {"code": 6, "bits": 8}, INVALID_VALUE, ("q has elements", "bool8")),
    "bfloat32": ("q", {"code": 4}, INVALID_VALUE, ("q has elements", "bfloat32")),
    "9 axes": ("q", {"ndim": 9}, INVALID_VALUE, ("q has 9 dimensions", 8)),
    "-1 axes": ("q", {"ndim": -1}, INVALID_VALUE, ("q has -1 dimensions",)),
    "read-only": ("o", {**VERSIONED, "flags": 1}, INVALID_VALUE, ("o is read-only",)),
    "version 2": ("q", {**VERSIONED, "major": 2}, INVALID_VALUE, ("q gives DLPack 2.3",)),
    "version 0": ("q", {**VERSIONED, "major": 0}, INVALID_VALUE, ("q gives DLPack 0.3",)),
    "used": ("q", {"name": b"used_dltensor"}, INVALID_VALUE, ('q gives', '"used_dltensor"')),
}  # fmt: skip


@pytest.mark.parametrize(("name", "words", "code", "sentence"), REFUSED.values(), ids=REFUSED)
def test_refused(name: str, words: dict[str, Any], code: int, sentence: tuple[object, ...]) -> None:
    plan, arrays = select(), make_arrays()
    args = flashdec.Args(**{**arrays, name: Exported(arrays[name], **words)})
    family = flashdec.DeviceError if code == WRONG_DEVICE else flashdec.InvalidArgumentError
    with pytest.raises(family) as caught:
        plan.run(args, flashdec.Workspace.allocate(plan))
    assert caught.value.code == code
    check_sentence(str(caught.value), *sentence)
    support = plan.can_implement(args)
    assert (bool(support), support.reason) == (False, str(caught.value))
    assert np.all(arrays["o"] == 7)


def test_dlpack_that_gives_no_capsule_is_refused() -> None:
    class Broken:
        def __dlpack_device__(self) -> tuple[int, int]:
            return CPU, 0

        def __dlpack__(self, **_: Any) -> int:
            return 5

    plan, arrays = select(), make_arrays()

    def use() -> None:
        plan.run(flashdec.Args(**{**arrays, "q": Broken()}), flashdec.Workspace.allocate(plan))

    with pytest.raises(ValueError):  # ours, or that of CPython's own check
        use()
    assert np.all(arrays["o"] == 7)
