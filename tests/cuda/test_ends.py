"""Long units of one length, of which blocks that have no part take the ends (core/split.h)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from kit.arrays import build
from kit.backends import Cuda, cuda_is_usable
from kit.case import Case
from kit.compare import check, same_bits

pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(not cuda_is_usable(), reason="no GPU that the library and torch can use"),
]

# Narrow heads: a tile has 64 of their tokens, and a block needs many tiles.  Units that 132 blocks
# share as 26 parts each, in stripes, with 2 blocks left, and as rounds of whole ones, with 64 left.
PARTS = Case("bfloat16", 1, 5, 4, 8, 8, 440_000, 440_000, seed=1)
WHOLE = Case("float16", 200, 1, 2, 8, 8, 9_000, 9_000, seed=2)
CASES = {"parts": PARTS, "whole": WHOLE}


def on_the_device(case: Case, length: int) -> Case:
    return replace(case, lengths=(length,) * case.batch)


def result(case: Case) -> Any:
    arrays = build(case)
    found = Cuda().run(case, arrays)
    check(case, arrays, found)
    return found


@pytest.mark.parametrize("name", CASES)
def test_lengths_on_the_device_give_the_same_bits(name: str) -> None:
    case = CASES[name]
    host, device = result(case), result(on_the_device(case, case.capacity))
    assert same_bits(host.o, device.o)
    assert same_bits(host.lse, device.lse)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("shorter", [1, 500, 8_000])
def test_shorter_than_the_longest(name: str, shorter: int) -> None:
    case = CASES[name]
    length = case.capacity - shorter
    host, device = result(replace(case, lengths=length)), result(on_the_device(case, length))
    assert same_bits(host.o, device.o)
    assert same_bits(host.lse, device.lse)


@pytest.mark.parametrize("name", CASES)
def test_pages(name: str) -> None:
    result(replace(CASES[name], page_size=64))
