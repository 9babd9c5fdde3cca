"""NULL, misaligned and wrongly sized structs, in and out, for every function that takes one."""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scene import (
    INVALID_STRUCT_SIZE,
    INVALID_VALUE,
    MISALIGNED,
    NULL_POINTER,
    ON_CPU,
    POISON,
    PROBLEM,
    Scene,
    check_sentence,
    last_error,
    poisoned_plan,
    structure,
)

import flashdec
from flashdec import _abi, _abi_append, _abi_dlpack, _abi_merge
from flashdec._library import load_library
from flashdec.tensor import reader_of

ROOM = 8192

Call = Callable[[Any], int]
run_objects = _abi.bind("flashdec_run_objects")


@functools.cache
def scene() -> Scene:
    """One for all: the args given to the calls point into its arrays."""
    return Scene()


def _select(desc: Any = None, preference: Any = None) -> int:
    own = structure(_abi.CDescriptor, **PROBLEM), structure(_abi.CPreference, **ON_CPU)
    first = _abi.address(own[0]) if desc is None else desc
    second = _abi.address(own[1]) if preference is None else preference
    plan = poisoned_plan()
    code: int = _abi.select(first or None, second or None, None, _abi.address(plan))
    assert (code == 0) == (bytes(plan) != bytes([POISON]) * 1024)
    return code


def _implement(args: Any) -> int:
    return int(_abi.can_implement(_abi.address(scene().plan), args or None))


def _run(args: Any) -> int:
    workspace = scene().workspace
    return int(_abi.run(_abi.address(scene().plan), args or None, workspace.ctypes.data,
                        workspace.nbytes, None))  # fmt: skip


@functools.cache
def python_args() -> flashdec.Args:
    args = flashdec.Args(**scene().arrays)
    objects = args._objects
    objects.plan = _abi.address(scene().plan)
    objects.workspace = scene().workspace.ctypes.data
    objects.workspace_bytes = scene().workspace.nbytes
    return args


def _run_objects(objects: Any) -> int:
    return int(run_objects(objects or None))


def _from_objects(args: Any) -> int:
    slots = _abi_dlpack.OBJECT_SLOTS()
    return int(_abi_dlpack.args_from_objects(_abi.address(scene().plan), 1, _abi.address(slots),
                                      args or None, None))  # fmt: skip


def _sku(sku: Any) -> int:
    return int(_abi.sku(_abi.address(scene().plan), sku or None))


def _plan_info(facts: Any) -> int:
    return int(_abi.plan_info(_abi.address(scene().plan), facts or None))


def _kernel_info(sku: Any) -> int:
    return int(_abi.kernel_info(0, sku or None))


@functools.cache
def rows() -> dict[str, Any]:
    """Arrays of a small append and a small merge."""
    shapes = {"k": (1, 1, 4), "v": (1, 1, 4), "k_cache": (1, 2, 1, 4), "v_cache": (1, 2, 1, 4),
              "part_o": (2, 1, 1, 4), "part_lse": (2, 1, 1), "o": (1, 1, 4)}  # fmt: skip
    return {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}


def _append_args() -> Any:
    sizes = dict.fromkeys(("batch", "tokens", "kv_heads", "dtype", "backend"), 1)
    pointers = {name: rows()[name].ctypes.data for name in ("k", "v", "k_cache", "v_cache")}
    args = structure(_abi_append.CAppendArgs, head_dim=4, max_kv_len=2, **sizes, **pointers)
    args.k_cache_stride_token = args.v_cache_stride_token = 4
    return args


def _merge_args() -> Any:
    sizes = dict.fromkeys(("batch", "heads", "part_o_dtype", "backend"), 1)
    pointers = {name: rows()[name].ctypes.data for name in ("part_o", "part_lse", "o")}
    return structure(
        _abi_merge.CMergeArgs, parts=2, head_dim=4, part_o_stride_part=4, part_lse_stride_part=1,
        **sizes, **pointers,
    )  # fmt: skip


@functools.cache
def _capsules() -> dict[str, Any]:
    return {name: array.__array_struct__ for name, array in rows().items()}


def _call(structure_of: Any, names: tuple[str, ...], **fields: int) -> Any:
    call = structure(structure_of, **fields)
    for entry, name in zip(call.operands, names, strict=False):
        entry.reader = reader_of(rows()[name], name).address
        entry.object = id(_capsules()[name])
    return call


# Structs that are read: what sentences call them, a valid one, and a call that gives its address.
READ: dict[str, tuple[str, Callable[[], Any], Call]] = {
    "descriptor of select": (
        "descriptor", lambda: structure(_abi.CDescriptor, **PROBLEM), lambda p: _select(desc=p)),
    "preference of select": (
        "preference", lambda: structure(_abi.CPreference, **ON_CPU),
        lambda p: _select(preference=p)),
    "args of can_implement": ("args", lambda: scene().args, _implement),
    "args of run": ("args", lambda: scene().args, _run),
    "objects of run_objects": (
        "objects", lambda: python_args()._objects, _run_objects),
    "args of append": ("args", _append_args, lambda p: _abi_append.append(p or None, None)),
    "args of merge": ("args", _merge_args, lambda p: _abi_merge.merge(p or None, None)),
    "call of append_objects": (
        "call",
        lambda: _call(_abi_dlpack.CAppendCall, ("k", "v", "k_cache", "v_cache"), axes=1),
        lambda p: _abi_dlpack.append_objects(p or None)),
    "call of merge_objects": (
        "call", lambda: _call(_abi_dlpack.CMergeCall, ("part_o", "part_lse", "o")),
        lambda p: _abi_dlpack.merge_objects(p or None)),
}  # fmt: skip

# Structs that are written: what sentences call them, their type, and the call.
WRITTEN: dict[str, tuple[str, Any, Call]] = {
    "sku of sku": ("sku", _abi.CKernelSku, _sku),
    "facts of plan_info": ("facts", _abi.CPlanFacts, _plan_info),
    "sku of kernel_info": ("sku", _abi.CKernelSku, _kernel_info),
}


class Block:
    """A struct at an address of our choice, with room behind it."""

    def __init__(self, content: bytes, filler: int, shift: int = 0) -> None:
        self.memory = (ctypes.c_uint64 * (ROOM // 8))()
        ctypes.memset(self.memory, filler, ROOM)
        self.address = ctypes.addressof(self.memory) + shift
        ctypes.memmove(self.address, content, len(content))

    def set_size(self, size: int) -> None:
        ctypes.memmove(self.address, size.to_bytes(4, "little"), 4)

    def __bytes__(self) -> bytes:
        return bytes(self.memory)


def refuse(call: Call, block: Block, code: int, *words: object) -> None:
    before = bytes(block)
    assert call(block.address) == code
    check_sentence(last_error(), *words)
    assert bytes(block) == before


SIZES = {"0": 0, "4": 4, "4097": 4097, "2**32-1": 2**32 - 1}


@pytest.fixture(params=READ, ids=lambda name: name.replace(" ", "_"))
def read(request: pytest.FixtureRequest) -> tuple[str, bytes, Call]:
    name, make, call = READ[request.param]
    return name, bytes(make()), call


@pytest.fixture(params=WRITTEN, ids=lambda name: name.replace(" ", "_"))
def written(request: pytest.FixtureRequest) -> tuple[str, Any, Call]:
    return WRITTEN[request.param]


def test_null_input(read: tuple[str, bytes, Call]) -> None:
    name, _, call = read
    if name == "preference":
        assert call(0) == 0  # NULL means the defaults
        return
    assert call(0) == NULL_POINTER
    check_sentence(last_error(), f"{name} is NULL")


def test_misaligned_input(read: tuple[str, bytes, Call]) -> None:
    name, content, call = read
    for shift in (1, 4):
        block = Block(content, 0, shift)
        refuse(call, block, MISALIGNED, name, hex(block.address), "8 bytes")


@pytest.mark.parametrize("size", [*SIZES, "one less"])
def test_wrong_size_of_input(read: tuple[str, bytes, Call], size: str) -> None:
    name, content, call = read
    value = len(content) - 1 if size == "one less" else SIZES[size]
    block = Block(content, 0)
    block.set_size(value)
    refuse(call, block, INVALID_STRUCT_SIZE, f"{name}->struct_size is {value}", len(content))


@pytest.mark.parametrize("tail", [1, 4, 8, 100])
def test_zero_tail_of_a_newer_caller_is_accepted(read: tuple[str, bytes, Call], tail: int) -> None:
    _, content, call = read
    block = Block(content, 0xFF)
    ctypes.memset(block.address + len(content), 0, tail)  # and not one byte more
    block.set_size(len(content) + tail)
    assert call(block.address) == 0, last_error()


@pytest.mark.parametrize(("tail", "place"), [(1, 0), (8, 7), (100, 50)])
def test_used_tail_of_a_newer_caller_is_refused(
    read: tuple[str, bytes, Call], tail: int, place: int
) -> None:
    name, content, call = read
    block = Block(content, 0)
    ctypes.memset(block.address + len(content) + place, 1, 1)
    block.set_size(len(content) + tail)
    byte = len(content) + place
    refuse(call, block, INVALID_STRUCT_SIZE, name, f"byte {byte}", f"{len(content)} bytes")


def test_null_output(written: tuple[str, Any, Call]) -> None:
    name, _, call = written
    assert call(0) == NULL_POINTER
    check_sentence(last_error(), f"{name} is NULL")


def test_misaligned_output(written: tuple[str, Any, Call]) -> None:
    name, kind, call = written
    block = Block(bytes(structure(kind)), POISON, 4)
    refuse(call, block, MISALIGNED, name, hex(block.address))


@pytest.mark.parametrize("size", [*SIZES, "one less"])
def test_wrong_size_of_output(written: tuple[str, Any, Call], size: str) -> None:
    name, kind, call = written
    value = ctypes.sizeof(kind) - 1 if size == "one less" else SIZES[size]
    block = Block(b"", POISON)
    block.set_size(value)
    refuse(call, block, INVALID_STRUCT_SIZE, f"{name}->struct_size is {value}", ctypes.sizeof(kind))


@pytest.mark.parametrize("tail", [0, 1, 8, 100])
def test_output_of_a_newer_caller_ends_in_zeros(written: tuple[str, Any, Call], tail: int) -> None:
    _, kind, call = written
    size = ctypes.sizeof(kind)
    exact, larger = Block(b"", POISON), Block(b"", POISON)
    exact.set_size(size)
    larger.set_size(size + tail)
    assert call(exact.address) == 0
    assert call(larger.address) == 0
    assert bytes(larger)[:4] == (size + tail).to_bytes(4, "little")
    assert bytes(larger)[4:size] == bytes(exact)[4:size]
    assert bytes(larger)[size : size + tail] == bytes(tail)
    assert set(bytes(larger)[size + tail :]) == {POISON}


def test_args_from_objects_refuses_null_and_sizes() -> None:
    assert _from_objects(0) == NULL_POINTER
    check_sentence(last_error(), "args is NULL")
    block = Block(bytes(ctypes.sizeof(_abi.CArgs)), 0)
    refuse(_from_objects, block, INVALID_STRUCT_SIZE, "args->struct_size is 0")


def test_workspace_size_needs_both_pointers() -> None:
    for given, name in ((0, "align"), (1, "bytes")):
        words = [ctypes.c_uint64(7), ctypes.c_uint64(7)]
        pointers: list[Any] = [ctypes.byref(word) for word in words]
        pointers[1 - given] = None
        assert _abi.workspace_size(_abi.address(scene().plan), *pointers) == NULL_POINTER
        check_sentence(last_error(), f"{name} is NULL")
        assert [word.value for word in words] == [7, 7]


def test_select_needs_a_plan_to_write() -> None:
    desc, preference = structure(_abi.CDescriptor, **PROBLEM), structure(_abi.CPreference, **ON_CPU)
    code = _abi.select(_abi.address(desc), _abi.address(preference), None, None)
    assert code == NULL_POINTER
    check_sentence(last_error(), "plan is NULL")


def kernel_name(index: int) -> bytes | None:
    function = load_library()[0].flashdec_kernel_name
    function.restype, function.argtypes = _abi.PROTOTYPES["flashdec_kernel_name"]
    name: bytes | None = function(index)
    return name


@pytest.mark.parametrize("beyond", [0, 1, 2**32 - 1])
def test_kernel_beyond_the_table_is_refused(beyond: int) -> None:
    count = _abi.kernel_count()
    index = min(count + beyond, 2**32 - 1)
    block = Block(bytes(structure(_abi.CKernelSku)), POISON)
    refuse(lambda p: _abi.kernel_info(index, p), block, INVALID_VALUE, index, count - 1)
    assert kernel_name(index) is None
