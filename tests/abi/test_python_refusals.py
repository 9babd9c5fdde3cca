"""Arrays that Python's Args refuses: dtype, rank, shape, strides, device, writability, no array."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from objects import make_arrays
from scene import (
    INVALID_STRIDE,
    INVALID_VALUE,
    MISALIGNED,
    NULL_POINTER,
    PAGES,
    PROBLEM,
    check_sentence,
)

import flashdec

F32 = np.float32
OUTPUTS = ("o", "lse", "status")


def make_plan(paged: bool = False) -> flashdec.Plan:
    desc = flashdec.Descriptor(**{**PROBLEM, **(PAGES if paged else {})})
    return flashdec.Plan.select(desc, flashdec.PlanPreference(prefer_backend="cpu"))


def refuse(arrays: dict[str, Any], code: int, *words: object, paged: bool = False) -> None:
    """run raises, can_implement says the same, and no array has changed."""
    plan = make_plan(paged)
    kept = {name: bytes(np.asarray(each)) for name, each in arrays.items() if is_numpy(each)}
    workspace = np.full(plan.workspace_size + 256, 0xA5, np.uint8)
    args = flashdec.Args(**arrays)
    with pytest.raises(flashdec.FlashdecError) as caught:
        plan.run(args, flashdec.Workspace.from_array(workspace))
    assert isinstance(caught.value, flashdec.InvalidArgumentError)
    assert caught.value.code == code
    check_sentence(str(caught.value), *words)
    support = plan.can_implement(args)
    assert (bool(support), support.reason) == (False, str(caught.value))
    assert set(workspace) == {0xA5}
    assert kept == {name: bytes(np.asarray(arrays[name])) for name in kept}


def is_numpy(array: Any) -> bool:
    return isinstance(array, np.ndarray)


@pytest.mark.parametrize("paged", [False, True], ids=["contiguous", "paged"])
def test_the_arrays_themselves_are_accepted(paged: bool) -> None:
    plan, arrays = make_plan(paged), make_arrays(paged)
    plan.run(flashdec.Args(**arrays), flashdec.Workspace.allocate(plan))
    assert np.allclose(arrays["o"], 1)
    assert arrays["status"] == 7


WRONG_DTYPES = {
    **dict.fromkeys("qkvo", (np.float16, np.float64, np.int32)),
    "lse": (np.float16, np.float64, np.int32, np.uint32),
    "kv_len": (np.int64, np.uint32, np.int16, F32, np.dtype("S4")),
    "page_table": (np.int64, np.uint32, F32, np.dtype("U1")),
    "status": (np.uint64, np.int16, F32, np.dtype("S4"), np.dtype("V4")),
}


@pytest.mark.parametrize(
    ("name", "dtype"),
    [(name, dtype) for name, dtypes in WRONG_DTYPES.items() for dtype in dtypes],
    ids=lambda value: value if isinstance(value, str) else np.dtype(value).str[1:],
)
def test_wrong_dtype(name: str, dtype: Any) -> None:
    paged = name == "page_table"
    arrays = make_arrays(paged)
    arrays[name] = np.zeros(arrays[name].shape, dtype)
    refuse(arrays, INVALID_VALUE, f"{name} has", np.dtype(dtype).itemsize * 8, paged=paged)


@pytest.mark.parametrize("name", ["q", "k", "o", "lse", "kv_len", "status"])
def test_byte_swapped(name: str) -> None:
    arrays = make_arrays()
    arrays[name] = arrays[name].astype(arrays[name].dtype.newbyteorder())
    refuse(arrays, INVALID_VALUE, name, "byte order")


@pytest.mark.parametrize("change", [-1, 1], ids=["less", "more"])
@pytest.mark.parametrize("name", ["q", "k", "v", "o", "lse", "kv_len", "page_table", "status"])
def test_wrong_rank(name: str, change: int) -> None:
    paged = name == "page_table"
    arrays = make_arrays(paged)
    array = arrays[name]
    arrays[name] = array[None] if change == 1 else array[0]
    if arrays[name].ndim == 0:
        arrays[name] = np.zeros((), array.dtype)
    words = f"{name} has {array.ndim + change} dimensions", f"must have {array.ndim}"
    refuse(arrays, INVALID_VALUE, *words, paged=paged)


SHAPES = [
    ("q", 0), ("q", 1), ("q", 2), ("k", 0), ("k", 2), ("k", 3), ("v", 0), ("v", 2), ("v", 3),
    ("o", 0), ("o", 1), ("o", 2), ("lse", 0), ("lse", 1), ("kv_len", 0), ("status", 0),
]  # fmt: skip
PAGED_SHAPES = [("k", 1), ("k", 2), ("k", 3), ("v", 1), ("v", 2), ("v", 3), ("page_table", 0)]
AT_LEAST = [("k", 1, False), ("v", 1, False), ("k", 0, True), ("v", 0, True),
            ("page_table", 1, True)]  # fmt: skip


@pytest.mark.parametrize("change", [-1, 1])
@pytest.mark.parametrize(
    ("name", "axis", "paged"),
    [(*row, False) for row in SHAPES] + [(*row, True) for row in PAGED_SHAPES],
)
def test_wrong_extent(name: str, axis: int, paged: bool, change: int) -> None:
    arrays = make_arrays(paged)
    shape = list(arrays[name].shape)
    shape[axis] += change
    arrays[name] = np.ones(shape, arrays[name].dtype)
    words = f"{name} has {shape[axis]} elements along axis {axis}", shape[axis] - change
    refuse(arrays, INVALID_VALUE, *words, paged=paged)


@pytest.mark.parametrize(("name", "axis", "paged"), AT_LEAST)
def test_too_small_extent(name: str, axis: int, paged: bool) -> None:
    arrays = make_arrays(paged)
    shape = list(arrays[name].shape)
    least = shape[axis]
    shape[axis] = least - 1
    arrays[name] = np.ones(shape, arrays[name].dtype)
    if name == "page_table":
        assert least == 75
    refuse(arrays, INVALID_VALUE, f"{name} has {least - 1} elements", f"at least {least}",
           paged=paged)  # fmt: skip


@pytest.mark.parametrize(("name", "axis", "paged"), AT_LEAST)
def test_larger_extent_is_accepted(name: str, axis: int, paged: bool) -> None:
    arrays = make_arrays(paged)
    shape = list(arrays[name].shape)
    shape[axis] += 1
    larger = np.zeros(shape, arrays[name].dtype)
    larger[tuple(slice(0, extent) for extent in arrays[name].shape)] = arrays[name]
    assert make_plan(paged).can_implement(flashdec.Args(**{**arrays, name: larger}))


def test_heads_before_tokens_are_checked_by_their_axes() -> None:
    arrays = make_arrays()
    turned = {name: np.ascontiguousarray(arrays[name].swapaxes(1, 2)) for name in "kv"}
    assert make_plan().can_implement(flashdec.Args(**{**arrays, **turned}, layout="bhsd"))
    refuse({**arrays, **turned}, INVALID_VALUE, "k has 600 elements along axis 2", "2")
    refuse({**arrays, "layout": "bhsd"}, INVALID_VALUE, "k has 600 elements along axis 1", "2")


@pytest.mark.parametrize("name", list("qkvo"))
def test_non_contiguous_rows(name: str) -> None:
    arrays = make_arrays()
    wide = np.ones((*arrays[name].shape[:-1], arrays[name].shape[-1] * 2), F32)
    arrays[name] = wide[..., ::2]
    refuse(arrays, INVALID_STRIDE, f"{name} has a stride of 2", "must be 1")


@pytest.mark.parametrize("name", ["q", "k", "v", "o", "lse"])
def test_negative_strides(name: str) -> None:
    arrays = make_arrays()
    arrays[name] = arrays[name][::-1]
    refuse(arrays, INVALID_STRIDE, f"{name}_stride_batch", "-")


def test_overlapping_output() -> None:
    arrays = make_arrays()
    arrays["o"] = np.lib.stride_tricks.as_strided(arrays["o"], strides=(0, 96, 4))
    refuse(arrays, INVALID_STRIDE, "o_stride_batch is 0", "overlap")


def test_misaligned_array() -> None:
    arrays = make_arrays()
    block = np.ones(arrays["q"].size + 8, F32)
    start = (-block.ctypes.data // 4) % 4 + 1
    arrays["q"] = block[start : start + arrays["q"].size].reshape(2, 4, 16)
    refuse(arrays, MISALIGNED, "q is at", 16)


def test_strides_between_elements() -> None:
    arrays = make_arrays()
    block = np.zeros(2 * 4 * 24 * 4 + 64, np.uint8)
    arrays["o"] = np.ndarray((2, 4, 24), F32, block, strides=(386, 96, 4))
    refuse(arrays, INVALID_STRIDE, "o has a stride of 386 bytes", 4)


@pytest.mark.parametrize("name", OUTPUTS)
def test_read_only_output(name: str) -> None:
    arrays = make_arrays()
    arrays[name].flags.writeable = False
    refuse(arrays, INVALID_VALUE, f"{name} is read-only")


def test_read_only_inputs_are_accepted() -> None:
    arrays = make_arrays(paged=True)
    for name in arrays.keys() - set(OUTPUTS):
        arrays[name].flags.writeable = False
    assert make_plan(paged=True).can_implement(flashdec.Args(**arrays))


def test_missing_page_table_and_one_too_many() -> None:
    arrays = make_arrays(paged=True)
    table = arrays.pop("page_table")
    refuse(arrays, NULL_POINTER, "page_table is missing", paged=True)
    refuse({**make_arrays(), "page_table": table}, INVALID_VALUE, "page_table", "page_size is 0")


def test_empty_elements_do_not_crash() -> None:
    """An itemsize of 0 must not be divided by; in another process, as it once killed this one."""
    program = (
        "import numpy as np, flashdec\n"
        "plan = flashdec.Plan.select(flashdec.Descriptor(2, 4, 2, 8, 16))\n"
        "x = np.zeros((2, 4, 16), 'V0')\n"
        "try: plan.run(flashdec.Args(q=x, k=x, v=x, o=x))\n"
        "except flashdec.InvalidArgumentError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    check_sentence(done.stdout.strip(), "q")


@pytest.mark.parametrize("value", [1, [[[1.0]]], "q", object()], ids=["int", "list", "str", "any"])
def test_not_an_array(value: Any) -> None:
    with pytest.raises(flashdec.InvalidArgumentError, match="q is of type") as caught:
        flashdec.Args(**{**make_arrays(), "q": value})
    check_sentence(str(caught.value), type(value).__name__, "__dlpack__")


@pytest.mark.parametrize("layout", ["hnd", "", None, 1, "bshd "], ids=repr)
def test_unknown_layout(layout: Any) -> None:
    with pytest.raises(flashdec.InvalidArgumentError, match="layout") as caught:
        flashdec.Args(**make_arrays(), layout=layout)
    check_sentence(str(caught.value), repr(layout), "bshd", "bhsd")


@pytest.mark.parametrize("dtype", ["int8", "float64", "fp8", np.float64, np.int32, None, 1])
def test_unknown_dtype(dtype: Any) -> None:
    with pytest.raises(flashdec.InvalidArgumentError, match="dtype") as caught:
        flashdec.Descriptor.new(batch=1, heads=1, max_kv_len=1, head_dim=1, dtype=dtype)
    check_sentence(str(caught.value), "float32", "float16", "bfloat16")


@pytest.mark.parametrize("name", ["float32", "float16", "bfloat16"])
def test_dtype_of_every_library(name: str) -> None:
    ml_dtypes = pytest.importorskip("ml_dtypes")
    of_numpy = np.dtype(getattr(ml_dtypes, name, name))
    for spelling in (name, of_numpy, of_numpy.type, flashdec.DType[name.upper()]):
        desc = flashdec.Descriptor.new(batch=1, heads=1, max_kv_len=1, head_dim=1, dtype=spelling)
        assert desc.q_dtype == desc.kv_dtype == getattr(flashdec, name)
