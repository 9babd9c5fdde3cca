"""Mirror of ``flashdec.h``: structures, flags, and one table of all headers' prototypes.

The C declaration each mirror repeats is named beside it; ``tests/abi`` compares sizes and offsets.
"""

from __future__ import annotations

import ctypes
from ctypes import (
    POINTER,
    c_char,
    c_char_p,
    c_float,
    c_int32,
    c_int64,
    c_uint32,
    c_uint64,
    c_void_p,
    py_object,
)
from typing import Any

from flashdec._library import load_library
from flashdec.errors import InvalidArgumentError, error_for

PREFER_BATCH_INVARIANT = 1
PREFER_NO_SM90A = 2
PREFER_NO_WORKSPACE = 4
ARGS_UNIFORM_KV_LEN = 1
ARGS_PREPARED_WORKSPACE = 2
ARGS_BASE2 = 4


class CDescriptor(ctypes.Structure):  # flashdec_descriptor
    _fields_ = [
        ("struct_size", c_uint32),
        ("flags", c_uint32),
        ("batch", c_int64),
        ("q_heads", c_int64),
        ("kv_heads", c_int64),
        ("max_kv_len", c_int64),
        ("head_dim", c_int64),
        ("head_dim_v", c_int64),
        ("page_size", c_int64),
        ("num_pages", c_int64),
        ("scale", c_float),
        ("q_dtype", c_uint32),
        ("kv_dtype", c_uint32),
        ("alignment", c_uint32),
    ]


class CPreference(ctypes.Structure):  # flashdec_preference
    _fields_ = [
        ("struct_size", c_uint32),
        ("flags", c_uint32),
        ("max_workspace_bytes", c_int64),
        ("split_len", c_int64),
        ("prefer_backend", c_uint32),
        ("num_threads", c_uint32),
    ]


class CArgs(ctypes.Structure):  # flashdec_args
    _fields_ = [
        ("struct_size", c_uint32),
        ("flags", c_uint32),
        ("q", c_void_p),
        ("k", c_void_p),
        ("v", c_void_p),
        ("o", c_void_p),
        ("lse", c_void_p),
        ("kv_len", c_void_p),
        ("page_table", c_void_p),
        ("status", c_void_p),
        ("q_stride_batch", c_int64),
        ("q_stride_token", c_int64),
        ("q_stride_head", c_int64),
        ("k_stride_batch", c_int64),
        ("k_stride_token", c_int64),
        ("k_stride_head", c_int64),
        ("v_stride_batch", c_int64),
        ("v_stride_token", c_int64),
        ("v_stride_head", c_int64),
        ("o_stride_batch", c_int64),
        ("o_stride_token", c_int64),
        ("o_stride_head", c_int64),
        ("lse_stride_batch", c_int64),
        ("lse_stride_head", c_int64),
        ("page_table_stride", c_int64),
        ("uniform_kv_len", c_int64),
    ]


class CPlan(ctypes.Structure):  # flashdec_plan
    _fields_ = [("opaque", c_uint64 * 128)]


class CGuarantee(ctypes.Structure):  # flashdec_precision_guarantee
    _fields_ = [
        ("math_precision", c_uint32),
        ("accumulator", c_uint32),
        ("bit_stable_on_same_hardware", c_uint32),
        ("deterministic", c_uint32),
        ("batch_invariant", c_uint32),
    ]


class CKernelSku(ctypes.Structure):  # flashdec_kernel_sku
    _fields_ = [
        ("struct_size", c_uint32),
        ("category", c_uint32),
        ("op", c_uint32),
        ("element", c_uint32),
        ("aux_element", c_uint32),
        ("layout", c_uint32),
        ("epilogue", c_uint32),
        ("arch", c_uint32),
        ("backend", c_uint32),
        ("guarantee", CGuarantee),
        ("name", c_char * 64),
    ]


class CPlanFacts(ctypes.Structure):  # flashdec_plan_facts
    _fields_ = [
        ("struct_size", c_uint32),
        ("backend", c_uint32),
        ("kernel", c_uint32),
        ("device", c_int32),
        ("num_threads", c_uint32),
        ("launches", c_uint32),
        ("max_splits", c_int64),
        ("split_len", c_int64),
        ("tile", c_int64),
        ("workspace_bytes", c_int64),
        ("workspace_align", c_int64),
    ]


PARALLEL_FOR = ctypes.CFUNCTYPE(None, c_void_p, c_uint32, c_int64, c_void_p, c_void_p)
ITEM = ctypes.CFUNCTYPE(None, c_void_p, c_int64)  # flashdec_item


class CThreads(ctypes.Structure):  # flashdec_threads
    _fields_ = [
        ("struct_size", c_uint32),
        ("reserved", c_uint32),
        ("context", c_void_p),
        ("parallel_for", PARALLEL_FOR),
    ]


def field_names(structure: type[ctypes.Structure]) -> list[str]:
    """Return the names of a structure's fields, in order."""
    return [field[0] for field in structure._fields_]


# name: (result, arguments); structs go as addresses, which ctypes passes the fastest.
PROTOTYPES: dict[str, tuple[Any, list[Any]]] = {
    "flashdec_select": (c_int32, [c_void_p, c_void_p, c_void_p, c_void_p]),
    "flashdec_workspace_size": (c_int32, [c_void_p, POINTER(c_uint64), POINTER(c_uint64)]),
    "flashdec_workspace_prepare": (c_int32, [c_void_p, c_void_p, c_uint64, c_void_p]),
    "flashdec_can_implement": (c_int32, [c_void_p, c_void_p]),
    "flashdec_run": (c_int32, [c_void_p, c_void_p, c_void_p, c_uint64, c_void_p]),
    "flashdec_use_threads": (c_int32, [c_void_p]),
    "flashdec_append": (c_int32, [c_void_p, c_void_p]),
    "flashdec_merge": (c_int32, [c_void_p, c_void_p]),
    "flashdec_sku": (c_int32, [c_void_p, c_void_p]),
    "flashdec_plan_info": (c_int32, [c_void_p, c_void_p]),
    "flashdec_kernel_count": (c_uint32, []),
    "flashdec_kernel_name": (c_char_p, [c_uint32]),
    "flashdec_kernel_info": (c_int32, [c_uint32, c_void_p]),
    "flashdec_kernel_supports": (c_int32, [c_uint32, c_void_p, c_void_p, c_void_p]),
    "flashdec_version": (c_char_p, []),
    "flashdec_abi_version": (c_uint32, []),
    "flashdec_status_string": (c_char_p, [c_int32]),
    "flashdec_last_error": (c_char_p, []),
    "flashdec_args_from_dlpack": (c_int32, [c_void_p, c_uint32, c_void_p, c_void_p]),
    "flashdec_args_from_objects": (c_int32, [c_void_p, c_uint32, c_void_p, c_void_p, c_void_p]),
    "flashdec_append_objects": (c_int32, [c_void_p]),
    "flashdec_merge_objects": (c_int32, [c_void_p]),
    "flashdec_run_objects": (c_int32, [c_void_p]),
    "flashdec_run_method": (py_object, [py_object, c_void_p]),
    "flashdec_read_object": (c_int32, [c_void_p, c_char_p, c_void_p]),
    "flashdec_probe": (c_int32, [c_void_p, c_void_p, c_int64, c_int64, c_int64]),
    "flashdec_torch_register": (c_int32, []),
    "flashdec_torch_method": (c_void_p, [c_char_p]),
}

# These call back into Python's objects, so they keep the GIL.
_WITH_GIL = frozenset(
    {
        "flashdec_append_objects",
        "flashdec_args_from_objects",
        "flashdec_merge_objects",
        "flashdec_run_objects",
        "flashdec_run_method",
        "flashdec_read_object",
    }
)


def bind(name: str) -> Any:
    """Return a function of the library with its prototype."""
    library, with_gil = load_library()
    function = getattr(with_gil if name in _WITH_GIL else library, name)
    function.restype, function.argtypes = PROTOTYPES[name]
    return function


select = bind("flashdec_select")
workspace_size = bind("flashdec_workspace_size")
workspace_prepare = bind("flashdec_workspace_prepare")
can_implement = bind("flashdec_can_implement")
run = bind("flashdec_run")
sku = bind("flashdec_sku")
plan_info = bind("flashdec_plan_info")
kernel_count = bind("flashdec_kernel_count")
kernel_info = bind("flashdec_kernel_info")
kernel_supports = bind("flashdec_kernel_supports")
version = bind("flashdec_version")
abi_version = bind("flashdec_abi_version")
status_string = bind("flashdec_status_string")
last_error = bind("flashdec_last_error")


def sized(structure: type[Any]) -> Any:
    """Make a zeroed structure with its ``struct_size`` set."""
    return structure(struct_size=ctypes.sizeof(structure))


def set_field(structure: Any, name: str, value: Any) -> None:
    """Set a field, refusing what its C type cannot hold: ctypes would cut it off silently."""
    before = getattr(structure, name)
    try:
        setattr(structure, name, value)
    except (TypeError, ValueError, OverflowError):
        needed = "a number" if isinstance(before, float) else "an integer"
        raise InvalidArgumentError(f"{name} is {value!r}; it must be {needed}") from None
    stored = getattr(structure, name)
    fits = stored == value or not (stored or value)
    if isinstance(stored, float):  # rounded to float32, but not to 0
        fits = bool(stored) == bool(value)
    if not fits:
        setattr(structure, name, before)
        kind = dict(structure._fields_)[name]
        raise InvalidArgumentError(f"{name} is {value!r}; it must be {_range_of(kind)}")


def _range_of(kind: Any) -> str:
    """Say what a C type holds."""
    if kind is c_float:
        return "0, or from 1.2e-38 to 3.4e38 either side of it: a float32"
    bits = 8 * ctypes.sizeof(kind)
    if kind(-1).value < 0:
        return f"{-(2 ** (bits - 1))} to {2 ** (bits - 1) - 1}"
    return f"0 to {2**bits - 1}"


def address(structure: Any) -> int:
    """Return where a structure lives; keep the structure alive meanwhile."""
    return ctypes.addressof(structure)


def check(status: int) -> None:
    """Raise the exception of a status that is not success."""
    if status:
        message = last_error().decode("utf-8", "replace")
        raise error_for(status, status_string(status).decode(), message)
