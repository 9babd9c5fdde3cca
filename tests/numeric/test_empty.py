"""Empty sequences: o = 0 and lse = -inf, wherever they stand in the batch."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from kit.arrays import build
from kit.case import Case
from kit.compare import check


@pytest.mark.parametrize("page_size", [0, 16])
def test_every_mixture(kernel: Any, page_size: int) -> None:
    backend, name = kernel
    for lengths in itertools.product((0, 70), repeat=4):
        case = Case("float16", 4, 2, 2, 64, 64, 100, lengths, page_size, split_len=32)
        arrays = build(case)
        result = backend.run(case, arrays, name)
        check(case, arrays, result)
        for b, length in enumerate(lengths):
            if length == 0:
                assert not result.o[b].any()
                assert (result.lse[b] == -np.inf).all()


def test_one_length_of_zero(kernel: Any) -> None:
    backend, name = kernel
    case = Case("bfloat16", 2, 2, 2, 64, 64, 300, 0)
    arrays = build(case)
    check(case, arrays, backend.run(case, arrays, name))


def test_padding_pages_of_empty_rows(kernel: Any) -> None:
    """Engines pad a batch with rows of length 0 whose table is all -1."""
    backend, name = kernel
    case = Case("bfloat16", 3, 2, 2, 64, 64, 300, (0, 290, 0), 16)
    arrays = build(case)
    arrays.page_table[0] = arrays.page_table[2] = -1
    result = backend.run(case, arrays, name)
    check(case, arrays, result)
    assert result.status == 0


def test_sixteen_thousand_sequences(kernel: Any) -> None:
    backend, name = kernel
    case = Case("float32", 16384, 1, 1, 4, 4, 3, tuple(i % 4 for i in range(16384)))
    arrays = build(case, kind="random")
    check(case, arrays, backend.run(case, arrays, name))
