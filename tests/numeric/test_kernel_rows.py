"""Every kernel of the table is chosen by a case of this suite."""

from __future__ import annotations

from typing import Any

import pytest

import flashdec
from kit.arrays import build
from kit.backends import Backend, Cpu, Cuda, cuda_is_usable
from kit.case import DTYPES, Case
from kit.compare import check

# What the rows of the table differ in: the class of head_dim and the size of the group.
SHAPES = [(64, 4), (64, 12), (96, 4), (96, 12), (128, 4), (128, 12), (192, 4), (256, 4)]


def cases() -> list[Case]:
    return [
        Case(dtype, 2, 2, group, dim, dim, capacity=300, lengths=(300, 77))
        for dtype in DTYPES
        for dim, group in SHAPES
    ]


def chosen(backend: Backend) -> set[str]:
    return {
        backend.plan(case, build(case), kernel).sku.name
        for case in cases()
        for kernel in backend.kernels()
    }


def test_every_cpu_row() -> None:
    table = {k.name for k in flashdec.kernels() if k.backend == flashdec.Backend.CPU}
    try:
        assert chosen(Cpu()) == table
    except flashdec.UnsupportedError as error:
        pytest.skip(str(error))


@pytest.mark.cuda
@pytest.mark.skipif(not cuda_is_usable(), reason="no GPU that the library and torch can use")
def test_every_cuda_row() -> None:
    table = {k.name for k in flashdec.kernels() if k.backend == flashdec.Backend.CUDA}
    assert chosen(Cuda()) == table


@pytest.mark.parametrize("case", cases(), ids=lambda c: f"{c.dtype}-{c.head_dim}-{c.group}")
def test_every_row_keeps_the_bound(kernel: Any, case: Case) -> None:
    backend, name = kernel
    arrays = build(case)
    check(case, arrays, backend.run(case, arrays, name))
