"""lse to the base 2: the natural one before it is multiplied by ln 2, and o as it is."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import flashdec
from flashdec import _abi
from kit.arrays import build
from kit.case import Case
from kit.compare import check, same_bits

CASES = {
    "one length": Case(lengths=600),
    "lengths": Case(lengths=(600, 0)),
    "short": Case(capacity=7, lengths=(7, 1)),
    "pages": Case("bfloat16", 3, 2, 4, 128, 128, 600, (600, 0, 333), 16),
    "parts": Case("float16", 1, 2, 4, 128, 128, 5000),
    "splits": Case("bfloat16", 2, 2, 4, 64, 64, 600, (600, 300), split_len=64),
    "invariant": Case("bfloat16", 2, 2, 12, 96, 80, 2000, (2000, 1), batch_invariant=True),
}
LN_2 = np.float32(0.6931472)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_it_is_the_natural_one_over_ln_2(kernel: Any, case: Case) -> None:
    backend, name = kernel
    arrays = build(case)
    natural = backend.run(case, arrays, name)
    other = replace(case, base2=True)
    base2 = backend.run(other, build(other), name)
    assert same_bits(base2.o, natural.o)
    assert same_bits(base2.lse * LN_2, natural.lse)
    assert (np.isneginf(base2.lse) == np.isneginf(natural.lse)).all()
    check(other, arrays, base2)


def test_decode_returns_it() -> None:
    rng = np.random.default_rng(1)
    q = rng.standard_normal((1, 2, 16), np.float32)
    k, v = (rng.standard_normal((1, 50, 1, 16), np.float32) for _ in "kv")
    o, natural = flashdec.decode(q, k, v, return_lse=True)
    same, base2 = flashdec.decode(q, k, v, return_lse=True, base2=True)
    assert same_bits(o, same)
    assert same_bits(base2 * LN_2, natural)


def test_merge_takes_it() -> None:
    rng = np.random.default_rng(2)
    q = rng.standard_normal((2, 4, 32), np.float32)
    k, v = (rng.standard_normal((2, 90, 2, 32), np.float32) for _ in "kv")
    whole, lse = flashdec.decode(q, k, v, return_lse=True, base2=True)
    parts = [
        flashdec.decode(q, k[:, at], v[:, at], return_lse=True, base2=True)
        for at in (slice(0, 37), slice(37, 90))
    ]
    o, merged = flashdec.merge(*zip(*parts, strict=True), base2=True)
    assert np.allclose(o, whole, atol=1e-6)
    assert np.allclose(merged, lse, atol=1e-5)


def test_the_flag_stays_when_others_change() -> None:
    rng = np.random.default_rng(3)
    q = rng.standard_normal((1, 2, 16), np.float32)
    k, v = (rng.standard_normal((1, 50, 1, 16), np.float32) for _ in "kv")
    args = flashdec.Args(q=q, k=k, v=v, o=np.empty_like(q), kv_len=50, base2=True)
    args.kv_len = 20
    args.kv_len = np.full(1, 30, np.int32)
    assert args._call.objects.flags == _abi.ARGS_BASE2
