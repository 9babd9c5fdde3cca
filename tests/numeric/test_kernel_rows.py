"""Every kernel of the table is chosen by a case of this suite."""

from __future__ import annotations

import pytest

import flashdec
from kit.arrays import build
from kit.backends import Backend, Cpu, Cuda, cuda_is_usable
from kit.case import DTYPES, Case


def chosen(backend: Backend) -> set[str]:
    names = set()
    for dtype in DTYPES:
        case = Case(dtype)
        arrays = build(case)
        for kernel in backend.kernels():
            names.add(backend.plan(case, arrays, kernel).sku.name)
    return names


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
