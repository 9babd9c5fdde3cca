"""Every head_dim, every group, every length around a boundary."""

from __future__ import annotations

from typing import Any

import pytest

from kit.arrays import build
from kit.case import DTYPES, TILE, Case
from kit.compare import check

GROUPS = [*range(1, 17), 17, 24, 32, 64, 65, 128]
PAGE_SIZES = [1, 2, 3, 5, 7, 16, 17, 31, 32, 33, 64, 100, 256, 1000]


def verify(kernel: Any, case: Case) -> None:
    backend, name = kernel
    arrays = build(case)
    check(case, arrays, backend.run(case, arrays, name))


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_head_dim(kernel: Any, dtype: str) -> None:
    for dim in range(1, 257):
        other = 257 - dim if dim % 2 else dim
        group = 3 + dim % 7  # blocks of query heads of every size that keys may be turned for
        verify(kernel, Case(dtype, 1, 2, group, dim, other, capacity=73, split_len=64, seed=dim))


@pytest.mark.parametrize("group", GROUPS)
def test_every_group(kernel: Any, group: int) -> None:
    for dtype in DTYPES:
        for layout in ("bshd", "bhsd"):
            case = Case(dtype, 2, 2, group, 64, 80, capacity=300, layout=layout, seed=group)
            verify(kernel, case)


@pytest.mark.parametrize("kv_heads", [*range(1, 18), 20, 33])
def test_every_number_of_kv_heads(kernel: Any, kv_heads: int) -> None:
    """More than fit an item, and numbers that items do not divide."""
    for group, layout in ((1, "bshd"), (3, "bshd"), (17, "bshd"), (1, "bhsd")):
        case = Case("float32", 4, kv_heads, group, 24, 8, capacity=70, layout=layout, seed=kv_heads)
        verify(kernel, Case(**{**case.__dict__, "split_len": 32}))


@pytest.mark.parametrize("unit", [TILE, 16, 64, 256])
def test_lengths_around_boundaries(kernel: Any, unit: int) -> None:
    lengths = tuple(n * unit + off for n in (1, 2, 3) for off in (-1, 0, 1))
    for split_len in (0, 32, 96):
        case = Case("float32", len(lengths), 1, 4, 32, 32, 3 * unit + 1, lengths)
        verify(kernel, Case(**{**case.__dict__, "split_len": split_len, "page_size": 16}))


@pytest.mark.parametrize("page_size", PAGE_SIZES)
def test_every_page_size(kernel: Any, page_size: int) -> None:
    for layout in ("bshd", "bhsd"):
        verify(
            kernel,
            Case(
                "float16", 3, 2, 4, 64, 64, 530, (530, 259, 17), page_size, layout, seed=page_size
            ),
        )


@pytest.mark.parametrize("strides", ["packed", "padded", "interleaved", "broadcast"])
@pytest.mark.parametrize("layout", ["bshd", "bhsd"])
def test_layouts_and_strides(kernel: Any, layout: str, strides: str) -> None:
    for page_size in (0, 16):
        verify(
            kernel,
            Case("bfloat16", 2, 4, 2, 72, 40, 400, (400, 311), page_size, layout, strides, seed=9),
        )


@pytest.mark.parametrize("splits", range(1, 12))
def test_every_number_of_splits(kernel: Any, splits: int) -> None:
    case = Case("float32", 1, 1, 4, 64, 64, 32 * splits, split_len=32, seed=splits)
    arrays = build(case)
    backend, name = kernel
    result = backend.run(case, arrays, name)
    assert result.plan.info.max_splits == splits
    check(case, arrays, result)
