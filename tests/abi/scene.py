"""One small problem in memory of which every byte is watched, called through the bare C ABI."""

from __future__ import annotations

import ctypes
import re
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import flashdec
from flashdec import _abi

# flashdec_status, by the names that flashdec.h gives them.
NULL_POINTER = 10
INVALID_STRUCT_SIZE = 11
INVALID_FLAGS = 12
INVALID_VALUE = 13
INVALID_STRIDE = 14
MISALIGNED = 15
WORKSPACE_TOO_SMALL = 16
INVALID_PLAN = 17
INVALID_KV_LEN = 18
INVALID_PAGE = 19
UNSUPPORTED = 20
PREFERENCE_UNMET = 21
NO_DEVICE = 30
WRONG_DEVICE = 31

FAMILIES = {
    1: flashdec.InvalidArgumentError,
    2: flashdec.UnsupportedError,
    3: flashdec.DeviceError,
}

# What would betray a C expression in place of a sentence.
C_EXPRESSION = re.compile(r"==|!=|&&|\|\||[<>]=|\bsizeof\(|\bnullptr\b|::|\.cpp|\bk[A-Z]\w+")

PROBLEM = {
    "batch": 2,
    "q_heads": 4,
    "kv_heads": 2,
    "max_kv_len": 600,
    "head_dim": 16,
    "head_dim_v": 24,
    "q_dtype": 1,
    "kv_dtype": 1,
}
PAGES = {"page_size": 8, "num_pages": 160}
ON_CPU = {"prefer_backend": 1}

POISON = 0xA5


def last_error() -> str:
    return _abi.last_error().decode()


def check_sentence(sentence: str, *words: object) -> None:
    """One sentence, in words, that holds what is given (the value, the limit, the name)."""
    assert sentence, "no sentence"
    assert sentence == sentence.strip()
    assert "\n" not in sentence
    assert not C_EXPRESSION.search(sentence), sentence
    for word in words:
        assert str(word) in sentence, f"{word} is not in: {sentence}"


def structure(kind: Any, **fields: Any) -> Any:
    made = _abi.sized(kind)
    for name, value in fields.items():
        setattr(made, name, value)
    return made


def poisoned_plan() -> Any:
    plan = _abi.CPlan()
    ctypes.memset(ctypes.addressof(plan), POISON, ctypes.sizeof(plan))
    return plan


def select(desc: dict[str, Any], preference: dict[str, Any]) -> tuple[int, Any]:
    """Call flashdec_select; a refusal must leave all three structs as they were."""
    structs = [
        structure(_abi.CDescriptor, **desc),
        structure(_abi.CPreference, **preference),
        poisoned_plan(),
    ]
    before = [bytes(each) for each in structs]
    c_desc, c_preference, plan = map(_abi.address, structs)
    code = _abi.select(c_desc, c_preference, None, plan)
    assert [bytes(each) for each in structs][:2] == before[:2]
    assert (bytes(structs[2]) == before[2]) == (code != 0)
    return code, structs[2]


def aligned_array(shape: tuple[int, ...], dtype: Any = np.float32, align: int = 256) -> Any:
    """Poisoned, so that a write shows."""
    nbytes = int(np.prod(shape)) * np.dtype(dtype).itemsize
    block = np.full(nbytes + align, POISON, np.uint8)
    start = -block.ctypes.data % align
    return block[start : start + nbytes].view(dtype).reshape(shape)


@dataclass
class Scene:
    """A CPU plan, its arrays, its args and its workspace."""

    paged: bool = False
    more: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        fields = {**PROBLEM, **(PAGES if self.paged else {}), **self.more}
        code, self.plan = select(fields, ON_CPU)
        assert code == 0, last_error()
        self.arrays = self._make_arrays(fields)
        size, align = ctypes.c_uint64(), ctypes.c_uint64()
        _abi.workspace_size(_abi.address(self.plan), size, align)
        self.align = align.value
        self.workspace = aligned_array((size.value,), np.uint8, self.align)
        self.args = structure(_abi.CArgs, **self._pointers(), **self._strides())

    def _make_arrays(self, f: dict[str, Any]) -> dict[str, Any]:
        blocks = (f["num_pages"], f["page_size"]) if self.paged else (f["batch"], f["max_kv_len"])
        arrays = {
            "q": aligned_array((f["batch"], f["q_heads"], f["head_dim"])),
            "k": aligned_array((*blocks, f["kv_heads"], f["head_dim"])),
            "v": aligned_array((*blocks, f["kv_heads"], f["head_dim_v"])),
            "o": aligned_array((f["batch"], f["q_heads"], f["head_dim_v"])),
            "lse": aligned_array((f["batch"], f["q_heads"])),
            "kv_len": aligned_array((f["batch"],), np.int32),
            "status": aligned_array((1,), np.uint32),
        }
        for name in ("q", "k", "v"):
            arrays[name][...] = 0.5
        arrays["kv_len"][...] = f["max_kv_len"]
        if self.paged:
            width = -(-f["max_kv_len"] // f["page_size"])
            arrays["page_table"] = aligned_array((f["batch"], width), np.int32)
            arrays["page_table"][...] = np.arange(f["batch"] * width).reshape(f["batch"], width)
        return arrays

    def _pointers(self) -> dict[str, int]:
        return {name: array.ctypes.data for name, array in self.arrays.items()}

    def _strides(self) -> dict[str, int]:
        strides = {}
        for name in "qkvo":
            steps = [step // 4 for step in self.arrays[name].strides]
            axes = ("batch", "token", "head") if name in "kv" else ("batch", "head")
            strides |= {f"{name}_stride_{a}": s for a, s in zip(axes, steps[:-1], strict=True)}
        batch, head = (step // 4 for step in self.arrays["lse"].strides)
        strides |= {"lse_stride_batch": batch, "lse_stride_head": head}
        if self.paged:
            strides["page_table_stride"] = self.arrays["page_table"].strides[0] // 4
        return strides

    def everything(self) -> list[bytes]:
        """Every byte that a call could touch."""
        watched = [*self.arrays.values(), self.workspace]
        return [bytes(self.plan), bytes(self.args), *(each.tobytes() for each in watched)]

    def can_implement(self) -> int:
        return int(_abi.can_implement(_abi.address(self.plan), _abi.address(self.args)))

    def run(self, workspace: int | None = -1, nbytes: int = -1, stream: int | None = None) -> int:
        pointer = self.workspace.ctypes.data if workspace == -1 else workspace
        size = self.workspace.nbytes if nbytes == -1 else nbytes
        plan, args = _abi.address(self.plan), _abi.address(self.args)
        return int(_abi.run(plan, args, pointer, size, stream))

    def python_plan(self) -> flashdec.Plan:
        """The same plan behind the Python class."""
        shape = flashdec.Descriptor(**{**PROBLEM, **(PAGES if self.paged else {}), **self.more})
        return flashdec.Plan.select(shape, flashdec.PlanPreference(prefer_backend="cpu"))

    def pointer_args(self) -> flashdec.PointerArgs:
        names = [name for name, _ in _abi.CArgs._fields_ if name != "struct_size"]
        return flashdec.PointerArgs(**{name: getattr(self.args, name) for name in names})
