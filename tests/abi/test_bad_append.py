"""What flashdec_append refuses, in a sentence and with nothing written."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
import pytest
from scene import (
    INVALID_FLAGS,
    INVALID_KV_LEN,
    INVALID_PAGE,
    INVALID_STRIDE,
    INVALID_STRUCT_SIZE,
    INVALID_VALUE,
    MISALIGNED,
    NO_DEVICE,
    NULL_POINTER,
    check_sentence,
    last_error,
)

from flashdec import _abi, _abi_append
from kit.backends import cuda_is_usable

BATCH, TOKENS, Q_HEADS, HEADS, DIM, DIM_V, ROOM, POSITIONS = 2, 3, 4, 2, 8, 6, 16, 24
PAGE, PAGES = 4, 9
F32, I32 = np.float32, np.int32
SIZE = ctypes.sizeof(_abi_append.CAppendArgs)
ROWS = ("q", "q_out", "k", "v", "k_cache", "v_cache")
OUTPUTS = ("q_out", "k_cache", "v_cache")
AXES = ("batch", "token", "head")


def operands(paged: bool = False) -> dict[str, Any]:
    """All that an append takes; what it may write is poisoned with 7."""
    blocks = (PAGES, PAGE) if paged else (BATCH, ROOM)
    arrays = {
        "q": np.ones((BATCH, TOKENS, Q_HEADS, DIM), F32),
        "q_out": np.full((BATCH, TOKENS, Q_HEADS, DIM), 7, F32),
        "k": np.ones((BATCH, TOKENS, HEADS, DIM), F32),
        "v": np.ones((BATCH, TOKENS, HEADS, DIM_V), F32),
        "k_cache": np.full((*blocks, HEADS, DIM), 7, F32),
        "v_cache": np.full((*blocks, HEADS, DIM_V), 7, F32),
        "kv_len": np.array([5, 2], I32),
        "new_len": np.array([3, 1], I32),
        "positions": np.array([5, 2], I32),
        "cos": np.ones((POSITIONS, 2), F32),
        "sin": np.zeros((POSITIONS, 2), F32),
        "status": np.full(1, 64, np.uint32),
    }
    if paged:
        arrays["page_table"] = np.arange(BATCH * ROOM // PAGE, dtype=I32).reshape(BATCH, -1)
    return arrays


class Scene:
    """Operands, and arguments that are right."""

    def __init__(self, paged: bool = False) -> None:
        self.arrays = operands(paged)
        self.args = _abi.sized(_abi_append.CAppendArgs)
        self.args.flags, self.args.backend, self.args.dtype = 3, 1, 1
        self.args.batch, self.args.tokens, self.args.q_heads = BATCH, TOKENS, Q_HEADS
        self.args.kv_heads, self.args.head_dim, self.args.head_dim_v = HEADS, DIM, DIM_V
        self.args.max_kv_len, self.args.max_position, self.args.rotary_dim = ROOM, POSITIONS, 4
        if paged:
            self.args.page_size, self.args.num_pages, self.args.page_table_stride = PAGE, PAGES, 4
        self.args.cos_stride = self.args.sin_stride = 2
        for name, array in self.arrays.items():
            setattr(self.args, name, array.ctypes.data)
            for axis, stride in zip(AXES if name in ROWS else (), array.strides, strict=False):
                setattr(self.args, f"{name}_stride_{axis}", stride // 4)

    def change(self, fields: dict[str, int]) -> None:
        for name, value in fields.items():
            setattr(self.args, name, value)

    def append(self, stream: int | None = None) -> int:
        return int(_abi_append.append(_abi.address(self.args), stream))

    def everything(self) -> list[bytes]:
        return [bytes(self.args), *(each.tobytes() for each in self.arrays.values())]

    def refuse(self, code: int, *words: object, stream: int | None = None) -> None:
        before = self.everything()
        assert self.append(stream) == code, last_error()
        check_sentence(last_error(), *words)
        assert self.everything() == before


@pytest.mark.parametrize("paged", [False, True], ids=["contiguous", "paged"])
def test_right_arguments_are_taken(paged: bool) -> None:
    scene = Scene(paged)
    assert scene.append() == 0, last_error()
    assert scene.arrays["kv_len"].tolist() == [8, 3]
    assert scene.arrays["status"] == 64
    for name, heads, dim in (("k_cache", HEADS, DIM), ("v_cache", HEADS, DIM_V)):
        assert (scene.arrays[name] == 1).sum() == (3 + 1) * heads * dim
    assert (scene.arrays["q_out"] == 1).sum() == (3 + 1) * Q_HEADS * DIM


def test_what_is_optional_may_be_left_out() -> None:
    scene = Scene()
    names = ("q", "q_out", "kv_len", "new_len", "positions", "cos", "sin", "status")
    scene.change(dict.fromkeys((*names, "q_heads", "rotary_dim", "max_position", "flags"), 0))
    assert scene.append() == 0, last_error()
    assert (scene.arrays["k_cache"] == 1).sum() == BATCH * TOKENS * HEADS * DIM


LARGEST = 2**31 - 1
ALL_NEW = {"new_len": 0}
NO_TURN = {"rotary_dim": 0, "max_position": 0}
NO_LEN = {"kv_len": 0, "flags": 0}
LIMITS = (
    ("batch", 1, LARGEST), ("tokens", 1, LARGEST), ("q_heads", 1, 65536), ("kv_heads", 1, 65536),
    ("head_dim", 1, 65536), ("head_dim_v", 0, 65536), ("max_kv_len", 1, LARGEST),
    ("page_size", 0, LARGEST), ("num_pages", 0, 0), ("rotary_dim", 0, DIM),
    ("max_position", 1, LARGEST), ("uniform_kv_len", 0, 0),
)  # fmt: skip
Refused = list[tuple[dict[str, int], int, tuple[object, ...]]]
REFUSED: Refused = [
    ({"struct_size": 8}, INVALID_STRUCT_SIZE, ("args->struct_size is 8", SIZE)),
    ({"struct_size": SIZE - 1}, INVALID_STRUCT_SIZE, (f"args->struct_size is {SIZE - 1}", SIZE)),
    ({"struct_size": 5000}, INVALID_STRUCT_SIZE, ("args->struct_size is 5000",)),
    ({"flags": 4}, INVALID_FLAGS, ("args->flags is 0x4", "0x3")),
    ({"flags": 2**31 + 3}, INVALID_FLAGS, ("args->flags is 0x80000003", "0x3")),
    ({"reserved": 1}, INVALID_FLAGS, ("args->reserved is 0x1", "0x0")),
    ({"backend": 0}, INVALID_VALUE, ("backend is 0", "(1)", "(2)")),
    ({"backend": 3}, INVALID_VALUE, ("backend is 3",)),
    ({"device": 1}, INVALID_VALUE, ("device is 1", "0 to 0")),
    ({"device": -1}, INVALID_VALUE, ("device is -1", "0 to 0")),
    ({"device": -1, "backend": 2}, INVALID_VALUE, ("device is -1", f"0 to {LARGEST}")),
    ({"dtype": 0}, INVALID_VALUE, ("dtype is 0", "(1)", "(3)")),
    ({"dtype": 4}, INVALID_VALUE, ("dtype is 4",)),
    ({"rotary_dtype": 4}, INVALID_VALUE, ("rotary_dtype is 4", "(3)")),
    ({"rotary_dtype": 2}, INVALID_VALUE, ("rotary_dtype is 2 (float16)", "float32")),
    ({"rotary_dtype": 3, "dtype": 2}, INVALID_VALUE, ("rotary_dtype is 3 (bfloat16)", "float16")),
    ({"num_threads": 1025}, INVALID_VALUE, ("num_threads is 1025", "0 to 1024")),
    *(
        ({name: value}, INVALID_VALUE, (f"{name} is {value}", f"{least} to {most}"))
        for name, least, most in LIMITS
        for value in (least - 1, most + 1, -(2**63), 2**63 - 1)
    ),
    ({"batch": 2**16, "tokens": 2**15}, INVALID_VALUE, ("batch * tokens is 2147483648", LARGEST)),
    ({"kv_heads": 2**16, "head_dim": 2**14}, INVALID_VALUE, ("* head_dim_v is 1074200576", 2**26)),
    ({**NO_LEN, "uniform_kv_len": -1}, INVALID_VALUE, ("uniform_kv_len is -1", "0 to 16")),
    ({**NO_LEN, "uniform_kv_len": 17}, INVALID_VALUE, ("uniform_kv_len is 17", "0 to 16")),
    (
        {**NO_LEN, **ALL_NEW, "uniform_kv_len": 14},
        INVALID_VALUE,
        ("tokens is 3 and uniform_kv_len 14", "max_kv_len, 16"),
    ),
    (
        {**NO_LEN, **ALL_NEW, "uniform_kv_len": 9, "positions": 0, "max_position": 11},
        INVALID_VALUE,
        ("tokens is 3 and the first is at position 9", "max_position, 11"),
    ),
    ({"kv_len": 0}, NULL_POINTER, ("kv_len is NULL", "FLASHDEC_APPEND_ADVANCE")),
    *(({name: 0}, NULL_POINTER, (f"{name} is NULL",)) for name in (*ROWS[1:], "cos", "sin")),
    ({"q": 0}, INVALID_VALUE, ("q_heads is 4", "0 to 0")),
    ({"q": 0, "q_heads": 0}, INVALID_VALUE, ("q_out is given but q is NULL",)),
    ({"rotary_dim": 3}, INVALID_VALUE, ("rotary_dim is 3", "even")),
    ({"rotary_dim": 0}, INVALID_VALUE, (f"max_position is {POSITIONS}", "0 to 0")),
    (NO_TURN, INVALID_VALUE, ("cos is given but rotary_dim is 0",)),
    ({**NO_TURN, "cos": 0}, INVALID_VALUE, ("sin is given but rotary_dim is 0",)),
    ({**NO_TURN, "cos": 0, "sin": 0}, INVALID_VALUE, ("positions is given but rotary_dim is 0",)),
    ({"page_table": 64}, INVALID_VALUE, ("page_table is given but page_size is 0",)),
]
PAGED: Refused = [
    ({"page_size": 0}, INVALID_VALUE, ("num_pages is 9", "0 to 0")),
    *(
        ({"num_pages": value}, INVALID_VALUE, (f"num_pages is {value}", f"1 to {LARGEST}"))
        for value in (0, -1, 2**31)
    ),
    ({"page_table": 0}, NULL_POINTER, ("page_table is NULL",)),
    *(
        (
            {"page_table_stride": value},
            INVALID_STRIDE,
            (f"page_table_stride is {value}", "at least 4", "16 tokens", "2^60"),
        )
        for value in (3, 0, -4, 2**60, -(2**63), 2**63 - 1)
    ),
    ({"max_kv_len": 17}, INVALID_STRIDE, ("page_table_stride is 4", "at least 5", "17 tokens")),
    ({"k_cache_stride_batch": -1}, INVALID_STRIDE, ("k_cache_stride_page is -1",)),
    ({"v_cache_stride_batch": 0}, INVALID_STRIDE, ("v_cache_stride_page is 0", "overlap")),
]


@pytest.mark.parametrize(
    ("paged", "fields", "code", "words"),
    [(False, *row) for row in REFUSED] + [(True, *row) for row in PAGED],
)
def test_refusals(
    paged: bool, fields: dict[str, int], code: int, words: tuple[object, ...]
) -> None:
    scene = Scene(paged)
    scene.change(fields)
    scene.refuse(code, *words)


@pytest.mark.parametrize("name", operands(paged=True))
def test_half_an_element_is_refused(name: str) -> None:
    scene = Scene(paged=True)
    setattr(scene.args, name, getattr(scene.args, name) + 2)
    scene.refuse(MISALIGNED, f"{name} is at", "4 bytes")


STRIDES = [*(f"{name}_stride_{axis}" for name in ROWS for axis in AXES), "cos_stride", "sin_stride"]


@pytest.mark.parametrize("value", [-1, -(2**63)])
@pytest.mark.parametrize("name", STRIDES)
def test_negative_strides_are_refused(name: str, value: int) -> None:
    scene = Scene()
    scene.change({name: value})
    scene.refuse(INVALID_STRIDE, f"{name} is {value}", "0 or more")


@pytest.mark.parametrize("value", [2**60, 2**63 - 1])
@pytest.mark.parametrize("name", STRIDES)
def test_strides_beyond_memory_are_refused(name: str, value: int) -> None:
    scene = Scene()
    scene.change({name: value})
    scene.refuse(INVALID_STRIDE, f"strides of {name.partition('_stride')[0]} ", "2^62 bytes")


@pytest.mark.parametrize("closer", [True, False], ids=["too close", "at one place"])
@pytest.mark.parametrize("axis", AXES)
@pytest.mark.parametrize("name", OUTPUTS)
def test_overlapping_outputs_are_refused(name: str, axis: str, closer: bool) -> None:
    scene, field = Scene(), f"{name}_stride_{axis}"
    value = getattr(scene.args, field) - 1 if closer else 0
    scene.change({field: value})
    row = DIM_V if name == "v_cache" else DIM
    told = f"{field} is {value}" if axis == "batch" else f"{field} {value}"
    scene.refuse(INVALID_STRIDE, told, f"rows of {row} elements", "overlap")


def test_in_place_the_strides_are_the_same() -> None:
    scene = Scene()
    scene.change({"q_out": scene.args.q, "q_out_stride_token": 2 * scene.args.q_stride_token})
    scene.refuse(INVALID_STRIDE, "q_out is q, but q_out_stride_token is", "must be the same")


def test_heads_may_come_before_tokens() -> None:
    scene = Scene()
    for name, row in (("k_cache", DIM), ("v_cache", DIM_V)):
        scene.change({f"{name}_stride_token": row, f"{name}_stride_head": ROOM * row})
    assert scene.append() == 0, last_error()


def test_strides_that_are_not_used_may_be_anything() -> None:
    scene = Scene()
    for name in ROWS:
        scene.change({f"{name}_stride_batch": -(2**63)})
    scene.change({"batch": 1})
    assert scene.append() == 0, last_error()


def test_a_stream_on_the_cpu_is_refused() -> None:
    Scene().refuse(INVALID_VALUE, "stream is 0x1234", "CPU", stream=0x1234)


def test_no_arguments_and_misaligned_ones_are_refused() -> None:
    assert _abi_append.append(None, None) == NULL_POINTER
    check_sentence(last_error(), "args is NULL")
    assert _abi_append.append(_abi.address(Scene().args) + 4, None) == MISALIGNED
    check_sentence(last_error(), "args is at", "8 bytes")


@pytest.mark.skipif(cuda_is_usable(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_refused() -> None:
    scene = Scene()
    scene.change({"backend": 2})
    scene.refuse(NO_DEVICE)


@pytest.mark.cuda
def test_a_device_that_is_not_there_is_refused() -> None:
    scene = Scene()
    scene.change({"backend": 2, "device": 99})
    scene.refuse(NO_DEVICE, "device is 99")


@pytest.mark.parametrize(
    ("name", "place", "value", "code", "words"),
    [
        ("kv_len", 1, -1, INVALID_KV_LEN, ("kv_len[1] is -1", "0 to 15", "room for 16")),
        ("kv_len", 0, 14, INVALID_KV_LEN, ("kv_len[0] is 14", "0 to 13", "3 new tokens")),
        ("kv_len", 0, LARGEST, INVALID_KV_LEN, (f"kv_len[0] is {LARGEST}",)),
        ("new_len", 1, -1, INVALID_KV_LEN, ("new_len[1] is -1", "0 to 3")),
        ("new_len", 0, 4, INVALID_KV_LEN, ("new_len[0] is 4", "0 to 3")),
        ("positions", 1, -1, INVALID_VALUE, ("positions[1] is -1", "0 to 23", "24 rows")),
        ("positions", 0, 22, INVALID_VALUE, ("positions[0] is 22", "0 to 21", "3 new")),
        ("page_table", (0, 1), PAGES, INVALID_PAGE, ("page_table[0, 1] is 9", "0 to 8")),
        ("page_table", (1, 0), -1, INVALID_PAGE, ("page_table[1, 0] is -1", "0 to 8")),
    ],
)
def test_checked_contents(
    name: str, place: Any, value: int, code: int, words: tuple[object, ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv("FLASHDEC_CHECK", "1")
    scene = Scene(paged=name == "page_table")
    scene.arrays[name][place] = value
    scene.refuse(code, *words)
