"""Mirror of ``flashdec_dlpack.h``, and a way to its functions that is faster than ctypes."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from ctypes import (
    POINTER,
    c_char_p,
    c_int,
    c_int32,
    c_int64,
    c_uint32,
    c_uint64,
    c_void_p,
    py_object,
)
from typing import Any

from flashdec._abi import address, bind
from flashdec._enums import Axes, ObjectKind

OPERANDS = ("q", "k", "v", "o", "lse", "kv_len", "page_table", "status")  # flashdec_operand


class CObjectReader(ctypes.Structure):  # flashdec_object_reader
    _fields_ = [
        ("struct_size", c_uint32),
        ("kind", c_uint32),
        ("opaque_dtype", c_uint32),
        ("reserved", c_uint32),
        ("exchange", c_void_p),
    ]


class CObject(ctypes.Structure):  # flashdec_object
    _fields_ = [("reader", c_void_p), ("object", c_void_p)]


class CArray(ctypes.Structure):  # flashdec_array
    _fields_ = [
        ("struct_size", c_uint32),
        ("dtype", c_uint32),
        ("type_code", c_uint32),
        ("type_bits", c_uint32),
        ("device_type", c_int32),
        ("device_id", c_int32),
        ("readonly", c_uint32),
        ("ndim", c_int32),
        ("data", c_void_p),
        ("shape", c_int64 * 8),
        ("strides", c_int64 * 8),
    ]


OBJECT_SLOTS = CObject * len(OPERANDS)


class CObjects(ctypes.Structure):  # flashdec_objects
    _fields_ = [
        ("struct_size", c_uint32),
        ("axes", c_uint32),
        ("flags", c_uint32),
        ("reserved", c_uint32),
        ("uniform_kv_len", c_int64),
        ("operands", OBJECT_SLOTS),
        ("args", c_void_p),
        ("plan", c_void_p),
        ("workspace", c_void_p),
        ("workspace_bytes", c_uint64),
        ("stream", c_void_p),
    ]


APPEND_OPERANDS = (  # flashdec_append_operand
    "k", "v", "k_cache", "v_cache", "kv_len", "q", "q_out", "cos", "sin", "positions", "new_len",
    "page_table", "status",
)  # fmt: skip

APPEND_SLOTS = CObject * len(APPEND_OPERANDS)


class CAppendCall(ctypes.Structure):  # flashdec_append_call
    _fields_ = [
        ("struct_size", c_uint32),
        ("axes", c_uint32),
        ("flags", c_uint32),
        ("num_threads", c_uint32),
        ("uniform_kv_len", c_int64),
        ("operands", APPEND_SLOTS),
        ("stream", c_void_p),
    ]


MERGE_OPERANDS = (
    "part_o",
    "part_lse",
    "o",
    "lse",
    "other_o",
    "other_lse",
)  # flashdec_merge_operand

MERGE_SLOTS = CObject * len(MERGE_OPERANDS)


class CMergeCall(ctypes.Structure):  # flashdec_merge_call
    _fields_ = [
        ("struct_size", c_uint32),
        ("flags", c_uint32),
        ("num_threads", c_uint32),
        ("reserved", c_uint32),
        ("operands", MERGE_SLOTS),
        ("stream", c_void_p),
    ]


append_objects = bind("flashdec_append_objects")
merge_objects = bind("flashdec_merge_objects")
args_from_objects = bind("flashdec_args_from_objects")
read_object = bind("flashdec_read_object")


class CMethodDef(ctypes.Structure):  # PyMethodDef
    _fields_ = [
        ("name", c_char_p),
        ("function", c_void_p),
        ("flags", c_int),
        ("doc", c_char_p),
    ]


METH_KEYWORDS, METH_NOARGS, METH_FASTCALL = 2, 4, 0x80

# Neither the definition nor the name of the capsule is copied, so they stay.
_OBJECTS_NAME = b"flashdec_objects"
_run_method = CMethodDef(
    b"flashdec_run_method", ctypes.cast(bind("flashdec_run_method"), c_void_p), METH_NOARGS, None
)


def _python(name: str, result: Any, *arguments: Any) -> Any:
    """Return a function of the running interpreter."""
    function = ctypes.pythonapi[name]
    function.restype, function.argtypes = result, arguments
    return function


_new_capsule = _python("PyCapsule_New", py_object, c_void_p, c_char_p, c_void_p)
_capsule_pointer = _python("PyCapsule_GetPointer", c_void_p, py_object, c_char_p)
new_function = _python("PyCFunction_NewEx", py_object, POINTER(CMethodDef), py_object, c_void_p)


def make_reader(kind: ObjectKind, opaque_dtype: int = 0, exchange: int | None = None) -> Any:
    """Make a ``flashdec_object_reader``; whoever uses its address keeps it alive."""
    return CObjectReader(
        struct_size=ctypes.sizeof(CObjectReader),
        kind=kind,
        opaque_dtype=opaque_dtype,
        exchange=exchange,
    )


def make_objects(axes: Axes | None = None) -> Any:
    """Make a ``flashdec_objects`` of absent operands; with no order of axes for ``args``."""
    return CObjects(struct_size=ctypes.sizeof(CObjects), axes=axes or 0)


def make_run(objects: Any) -> Callable[[], int]:
    """Make a function that runs a ``flashdec_objects`` and returns the status.

    Python calls it as it calls its own built-in functions: to go through ctypes costs 0.4 µs more.
    Whoever calls it keeps the structure alive.
    """
    capsule = _new_capsule(address(objects), _OBJECTS_NAME, None)
    function: Callable[[], int] = new_function(_run_method, capsule, None)
    return function


def exchange_table(capsule: Any) -> int:
    """Return the address that a type's ``__dlpack_c_exchange_api__`` holds.

    Early versions of DLPack 1.3 published it as a number, later ones as a capsule.
    """
    if isinstance(capsule, int):
        return capsule
    table: int = _capsule_pointer(capsule, b"dlpack_exchange_api")
    return table
