"""Small merges for compute-sanitizer, on raw device memory of exactly their size."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

import flashdec
from flashdec import _abi, _abi_merge
from flashdec._storage import from_float32, storage_dtype, to_float32
from flashdec.dtypes import DType, as_dtype
from kit.driver import Memory, call


@dataclass(frozen=True)
class MergeCase:
    """Parts of an array ``[parts, batch, heads, head_dim]``."""

    dtype: str
    parts: int
    head_dim: int
    packed: bool = False  # each row is followed by its lse
    in_place: bool = False  # the result takes the place of the first part
    lse: bool = True  # is wanted
    batch: int = 3
    heads: int = 5

    @property
    def name(self) -> str:
        words = [self.dtype, f"{self.parts}x{self.head_dim}"]
        words += [word for word in ("packed", "in_place") if getattr(self, word)]
        return "_".join(words if self.lse else [*words, "no_lse"])


TYPES = ("float32", "float16", "bfloat16")
MERGES = [
    *(MergeCase(*case) for case in itertools.product(TYPES, (1, 2, 3, 8, 9, 40), (8, 77, 128))),
    *(MergeCase(dtype, 5, 64, packed=True) for dtype in TYPES),
    *(MergeCase(dtype, 2, 96, in_place=True) for dtype in TYPES),
    MergeCase("bfloat16", 4, 512, lse=False),
    MergeCase("float32", 70, 4),
]
"""One, two, four and eight parts at a time, and slices of them; rows of vectors and of elements."""


class _Merge:
    def __init__(self, case: MergeCase) -> None:
        self.case, self.element = case, as_dtype(case.dtype)
        rng = np.random.default_rng(5)
        rows = (case.parts, case.batch, case.heads)
        width = case.head_dim + case.packed
        values = rng.standard_normal((*rows, width), np.float32)
        lse = rng.standard_normal(rows, np.float32)
        lse[0, 0] = -np.inf  # an empty part
        if case.packed:
            values[..., -1] = lse
        self.parts = _upload(from_float32(values, self.element))
        self.part_lse = None if case.packed else _upload(lse)
        itemsize = self.element.itemsize
        self.o = (
            self.parts if case.in_place
            else Memory(case.batch * case.heads * case.head_dim * itemsize)
        )  # fmt: skip
        self.lse = Memory(case.batch * case.heads * 4) if case.lse else None
        self.args = self._args(width, itemsize)
        call("cuCtxSynchronize")

    def _args(self, width: int, itemsize: int) -> Any:
        case, rows = self.case, self.case.batch * self.case.heads
        lse_step = width if case.packed else 1
        args = _abi.sized(_abi_merge.CMergeArgs)
        fields = {
            "backend": flashdec.Backend.CUDA, "parts": case.parts, "batch": case.batch,
            "heads": case.heads, "head_dim": case.head_dim, "part_o_dtype": self.element,
            "part_lse_dtype": self.element if case.packed else DType.FLOAT32,
            "part_o": self.parts.pointer, "o": self.o.pointer,
            "part_lse": self.parts.pointer + case.head_dim * itemsize
            if self.part_lse is None else self.part_lse.pointer,
            "lse": None if self.lse is None else self.lse.pointer,
            "part_o_stride_part": rows * width, "part_o_stride_batch": case.heads * width,
            "part_o_stride_head": width, "part_lse_stride_part": rows * lse_step,
            "part_lse_stride_batch": case.heads * lse_step, "part_lse_stride_head": lse_step,
            "o_stride_batch": case.heads * case.head_dim, "o_stride_head": case.head_dim,
            "lse_stride_batch": case.heads, "lse_stride_head": 1,
        }  # fmt: skip
        for name, value in fields.items():
            setattr(args, name, value)
        return args

    def run(self, stream: int) -> str:
        """Return what went wrong; empty if nothing did."""
        if _abi_merge.merge(_abi.address(self.args), stream):
            return f"refused: {_abi.last_error().decode()}"
        call("cuStreamSynchronize", stream)
        count = self.case.batch * self.case.heads * self.case.head_dim
        bits = self.o.download().view(storage_dtype(self.element))[:count]
        if not np.isfinite(to_float32(bits, self.element)).all():
            return "o is not finite"
        return ""


def _upload(array: Any) -> Memory:
    memory = Memory(array.nbytes)
    memory.upload(array)
    return memory


def run_merges(stream: int) -> Iterator[tuple[str, str]]:
    """Run each case; yield its name and what went wrong, if anything."""
    for case in MERGES:
        yield case.name, _Merge(case).run(stream)
