"""Every stride of every array past 2^31 elements: no product of an index and a stride is 32 bits.

The arrays are address space of which only the rows in use are ever touched (CPU).
"""

from __future__ import annotations

import mmap
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import flashdec
from kit.arrays import build
from kit.backends import Cpu, environment
from kit.case import Case
from kit.compare import same_bits
from kit.processor import skip_without

MAP_NORESERVE = 0x4000  # Python 3.13 has it in mmap
FLAGS = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | MAP_NORESERVE
HUGE = (1 << 31) + 64  # elements
CASE = Case("float16", 4, 2, 2, 16, 16, 3, (3, 2, 0, 3), seed=6)
PAGED = replace(CASE, page_size=2)

AXES = {
    "q": ["batch", "head"],
    "k": ["batch", "token", "head"],
    "v": ["batch", "token", "head"],
    "o": ["batch", "head"],
    "lse": ["batch", "head"],
    "page_table": ["batch"],
}
PLACES = [(name, (axis,)) for name, axes in AXES.items() for axis in range(len(axes))]
PLACES += [("k", (1, 2)), ("v", (1, 2))]  # several heads in an item
LABELS = ["-".join([name, *(AXES[name][axis] for axis in axes)]) for name, axes in PLACES]


def spread(array: Any, axes: tuple[int, ...]) -> Any:
    """A copy of an array whose strides along some axes are HUGE elements and more."""
    inner = [i for i in range(array.ndim) if i not in axes]
    strides = [0] * array.ndim
    step = 1
    for i in reversed(inner):
        strides[i], step = step, step * array.shape[i]
    step = HUGE
    for i in reversed(axes):
        strides[i], step = step, step * array.shape[i]
    count = 1 + sum((n - 1) * s for n, s in zip(array.shape, strides, strict=True))
    memory = np.frombuffer(mmap.mmap(-1, count * array.itemsize, flags=FLAGS), array.dtype)
    in_bytes = [stride * array.itemsize for stride in strides]
    copy = np.lib.stride_tricks.as_strided(memory, array.shape, in_bytes)
    copy[...] = array
    return copy


@pytest.mark.parametrize("isa", Cpu().kernels())
@pytest.mark.parametrize(("name", "axes"), PLACES, ids=LABELS)
def test_huge_strides(isa: str, name: str, axes: tuple[int, ...]) -> None:
    skip_without(isa)
    case = PAGED if name == "page_table" else CASE
    made = build(case, kind="zero")
    arrays = {n: getattr(made, n) for n in (*AXES, "kv_len")}
    desc = case.descriptor(made.num_pages, 4)
    with environment(FLASHDEC_ISA=isa):
        plan = flashdec.Plan.select(desc, case.preference(prefer_backend="cpu"))
    plan.run(flashdec.Args(**arrays))
    want = {n: np.array(arrays[n], order="C") for n in ("o", "lse")}
    for output in want:
        arrays[output].fill(7)
    arrays[name] = spread(arrays[name], axes)
    plan.run(flashdec.Args(**arrays))
    for output, bits in want.items():
        assert same_bits(np.array(arrays[output], order="C"), bits), output
