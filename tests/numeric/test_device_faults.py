"""Lengths and page ids that cannot be: harmless, loud, and the neighbours keep their bits."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import flashdec
from kit.arrays import build
from kit.backends import environment
from kit.case import Case
from kit.compare import same_bits

PAGED = Case("bfloat16", 4, 2, 4, 64, 64, 600, (600, 333, 40, 512), 16, seed=2)
PLAIN = Case("bfloat16", 4, 2, 4, 64, 64, 600, (600, 333, 40, 512), seed=2)
LENGTHS = [-1, 601, 2**31 - 1, -(2**31)]
PAGES = [-1, 1 << 20, 2**31 - 1, -(2**31)]


def neighbours_keep_their_bits(result: Any, clean: Any, bad: int) -> None:
    for b in range(4):
        if b != bad:
            assert same_bits(result.o[b], clean.o[b]), b
            assert same_bits(result.lse[b], clean.lse[b]), b


@pytest.mark.parametrize("case", [PAGED, PLAIN], ids=["paged", "plain"])
@pytest.mark.parametrize("length", LENGTHS)
def test_bad_length(kernel: Any, case: Case, length: int) -> None:
    backend, name = kernel
    arrays = build(case)
    arrays.kv_len[1] = 0  # what the others' splits may depend on
    clean = backend.run(case, arrays, name)
    arrays = build(case)
    arrays.kv_len[1] = length
    result = backend.run(case, arrays, name)
    assert np.isnan(result.o[1]).all()
    assert np.isnan(result.lse[1]).all()
    assert result.status == flashdec.Fault.KV_LEN
    neighbours_keep_their_bits(result, clean, 1)


@pytest.mark.parametrize("sequence", [0, 2])
@pytest.mark.parametrize("where", ["first", "last"])
@pytest.mark.parametrize("page", PAGES)
def test_bad_page(kernel: Any, page: int, where: str, sequence: int) -> None:
    backend, name = kernel
    clean = backend.run(PAGED, build(PAGED), name)
    arrays = build(PAGED)
    entry = 0 if where == "first" else -(-PAGED.lengths[sequence] // 16) - 1
    arrays.page_table[sequence, entry] = page
    result = backend.run(PAGED, arrays, name)
    assert np.isnan(result.o[sequence]).all()
    assert np.isnan(result.lse[sequence]).all()
    assert result.status == flashdec.Fault.PAGE
    neighbours_keep_their_bits(result, clean, sequence)


def test_first_page_beyond_the_cache(kernel: Any) -> None:
    backend, name = kernel
    arrays = build(PAGED)
    arrays.page_table[3, 2] = arrays.num_pages
    assert np.isnan(backend.run(PAGED, arrays, name).o[3]).all()


def test_status_is_left_alone_without_a_fault(kernel: Any) -> None:
    backend, name = kernel
    assert backend.run(PAGED, build(PAGED), name).status == 0


def test_status_gathers_faults(kernel: Any) -> None:
    """Bits are OR-ed in: those of both faults, and what the caller left there."""
    backend, name = kernel
    arrays = build(PAGED)
    arrays.kv_len[1], arrays.page_table[3, 2] = -1, -1
    result = backend.run(PAGED, arrays, name, status=1 << 20)
    assert result.status == 1 << 20 | flashdec.Fault.KV_LEN | flashdec.Fault.PAGE
    assert backend.run(PAGED, build(PAGED), name, status=1 << 20).status == 1 << 20


@pytest.mark.parametrize("layout", ["bshd", "bhsd"])
@pytest.mark.parametrize("page", [-1, 1 << 20])
@pytest.mark.parametrize("group", [1, 8, 17, 70])
def test_bad_page_in_the_last_split_reaches_every_head(
    kernel: Any, group: int, page: int, layout: str
) -> None:
    backend, name = kernel
    case = replace(PAGED, kv_heads=3, group=group, layout=layout)
    arrays = build(case)
    clean = backend.run(case, build(case), name)
    arrays.page_table[0, -1] = page
    result = backend.run(case, arrays, name)
    assert np.isnan(result.o[0]).all()
    assert np.isnan(result.lse[0]).all()
    neighbours_keep_their_bits(result, clean, 0)


CHECKED = {
    "kv_len": (lambda a: a.kv_len.__setitem__(2, 601), "kv_len[2] is 601; it must be 0 to 600"),
    "page": (
        lambda a: a.page_table.__setitem__((1, 3), -7),
        "page_table[1, 3] is -7; it must be 0 to ",
    ),
}


@pytest.mark.parametrize("kind", CHECKED)
def test_check_names_the_entry_and_writes_nothing(kernel: Any, kind: str) -> None:
    backend, name = kernel
    mutate, sentence = CHECKED[kind]
    arrays = build(PAGED)
    mutate(arrays)
    before = arrays.slab.tobytes()
    with environment(FLASHDEC_CHECK="1"), pytest.raises(flashdec.InvalidArgumentError) as caught:
        backend.run(PAGED, arrays, name)
    assert sentence in str(caught.value)
    assert arrays.slab.tobytes() == before


def test_check_accepts_what_is_right(kernel: Any) -> None:
    backend, name = kernel
    with environment(FLASHDEC_CHECK="1"):
        checked = backend.run(PAGED, build(PAGED), name)
    assert same_bits(checked.o, backend.run(PAGED, build(PAGED), name).o)
