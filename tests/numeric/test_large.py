"""Caches past 2^31 elements and 2^32 bytes: offsets are 64 bits wide.

On the CPU the cache is address space of which only the pages in use are ever touched; the results
equal, bit for bit, those of the same data in a small cache.
"""

from __future__ import annotations

import mmap
from typing import Any

import numpy as np
import pytest

import flashdec
from kit.backends import Cpu, environment
from kit.compare import same_bits
from kit.processor import skip_without

MAP_NORESERVE = 0x4000  # Python 3.13 has it in mmap
HEADS, DIM, PAGE = 2, 64, 16
FLAGS = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | MAP_NORESERVE


def sparse(shape: tuple[int, ...]) -> Any:
    """A float16 array of address space; its memory comes when it is written."""
    nbytes = 2 * int(np.prod(shape, dtype=np.int64))
    return np.frombuffer(mmap.mmap(-1, nbytes, flags=FLAGS), np.float16).reshape(shape)


def rows(seed: int, count: int) -> Any:
    rng = np.random.default_rng(seed)
    return rng.standard_normal((count, HEADS, DIM)).astype(np.float16)


@pytest.fixture(params=Cpu().kernels())
def isa(request: Any) -> Any:
    skip_without(request.param)
    with environment(FLASHDEC_ISA=request.param):
        yield request.param


def small_result(q: Any, k: Any, v: Any) -> Any:
    return flashdec.decode(q, k[None], v[None])


def test_pages_beyond_2_32_elements(isa: str) -> None:
    pages = (1 << 32) // (PAGE * HEADS * DIM) + 1000
    k, v = sparse((pages, PAGE, HEADS, DIM)), sparse((pages, PAGE, HEADS, DIM))
    assert k.size > 1 << 32
    table = np.array([[pages - 1, 5, pages // 2 + 7, pages - 900]], np.int32)
    want_k, want_v = rows(1, 4 * PAGE), rows(2, 4 * PAGE)
    for i, page in enumerate(table[0]):
        k[page], v[page] = want_k[i * PAGE : (i + 1) * PAGE], want_v[i * PAGE : (i + 1) * PAGE]
    q = rows(3, 1)[:, :, :]
    assert same_bits(flashdec.decode(q, k, v, page_table=table), small_result(q, want_k, want_v))


@pytest.mark.parametrize("layout", ["bshd", "bhsd"])
def test_sequences_beyond_2_31_elements(isa: str, layout: str) -> None:
    tokens = (1 << 31) // (HEADS * DIM) // 2 + 17
    shape = (3, tokens, HEADS, DIM) if layout == "bshd" else (3, HEADS, tokens, DIM)
    k, v = sparse(shape), sparse(shape)
    assert k[:2].size > 1 << 31
    want_k, want_v, q = rows(1, 100), rows(2, 100), np.concatenate([rows(3, 1)] * 3)
    if layout == "bshd":
        k[2, :100], v[2, :100] = want_k, want_v
    else:
        k[2, :, :100], v[2, :, :100] = want_k.swapaxes(0, 1), want_v.swapaxes(0, 1)
    o = flashdec.decode(q, k, v, kv_len=np.array([0, 0, 100], np.int32), layout=layout)
    assert same_bits(o[2:], small_result(q[2:], want_k, want_v))
    assert not o[:2].any()
