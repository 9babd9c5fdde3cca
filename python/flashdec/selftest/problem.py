"""The arrays of a case, in host memory, with poison in everything that must not be used."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from flashdec import reference
from flashdec._storage import Array, from_float32, storage_dtype, to_float32
from flashdec.descriptor import Descriptor
from flashdec.reference import Exact
from flashdec.selftest.cases import Case

__all__ = ["Problem", "make_problem", "spaced"]

_STALE_PAGE = 2_147_480_000  # no cache has it
_POISON = 0xFF  # bytes: NaN in every element type


@dataclass(frozen=True, slots=True)
class Problem:
    """One case in memory.

    Attributes
    ----------
    case : Case
        What it is made from.
    q, k, v : array
        In storage, spaced by the case's padding; k and v by their layout or in pages.
    kv_len : int32 array ``[batch]`` or None
        Lengths, where they are in an array.
    page_table : int32 array ``[batch, pages]`` or None
        Ids; beyond the live ones they are far out of range.
    uniform_kv_len : int
        The one length, where it is in the arguments.
    exact : Exact
        Results in float64.
    """

    case: Case
    q: Array
    k: Array
    v: Array
    kv_len: Array | None
    page_table: Array | None
    uniform_kv_len: int
    exact: Exact

    @property
    def descriptor(self) -> Descriptor:
        """What `Plan.select` takes."""
        case = self.case
        return Descriptor.new_gqa(
            batch=case.batch,
            q_heads=case.q_heads,
            kv_heads=case.kv_heads,
            max_kv_len=case.max_kv_len,
            head_dim=case.head_dim,
            head_dim_v=case.head_dim_v,
            dtype=case.element,
            page_size=case.page_size,
            num_pages=self.k.shape[0] if case.page_size else 0,
            alignment=case.element.itemsize if case.padding % 2 else 0,
        )


def spaced(shape: tuple[int, ...], case: Case) -> Array:
    """Return a poisoned storage array whose rows are ``padding`` elements apart."""
    rows = (*shape[:-1], shape[-1] + case.padding)
    base = np.empty(rows, storage_dtype(case.element))
    base.view(np.uint8)[...] = _POISON
    return base[..., : shape[-1]]


def _lengths(case: Case, rng: np.random.Generator) -> Array:
    if case.lengths == "all":
        return np.full(case.batch, case.max_kv_len, np.int32)
    if case.lengths == "one":
        return np.full(case.batch, rng.integers(0, case.max_kv_len + 1), np.int32)
    lengths = rng.integers(0, case.max_kv_len + 1, case.batch).astype(np.int32)
    lengths[rng.integers(case.batch)] = rng.choice((0, 1, case.max_kv_len))
    return lengths


def _paged(case: Case, values: Array, lengths: Array, table: Array, num_pages: int) -> Array:
    """Scatter ``[batch, tokens, heads, dim]`` into pages."""
    heads, dim = values.shape[2:]
    heads_first = case.layout == "bhsd"
    shape = (heads, case.page_size) if heads_first else (case.page_size, heads)
    cache = spaced((num_pages, *shape, dim), case)
    by_token = cache.swapaxes(1, 2) if heads_first else cache
    for b, length in enumerate(lengths):
        for start in range(0, int(length), case.page_size):
            rows = values[b, start : min(start + case.page_size, length)]
            by_token[table[b, start // case.page_size], : len(rows)] = rows
    return cache


def _dense(case: Case, values: Array, lengths: Array) -> Array:
    batch, tokens, heads, dim = values.shape
    heads_first = case.layout == "bhsd"
    shape = (batch, heads, tokens, dim) if heads_first else (batch, tokens, heads, dim)
    cache = spaced(shape, case)
    by_token = cache.swapaxes(1, 2) if heads_first else cache
    for b, length in enumerate(lengths):
        by_token[b, :length] = values[b, :length]
    return cache


def _page_table(case: Case, lengths: Array, rng: np.random.Generator) -> tuple[Array, int]:
    pages = -(-case.max_kv_len // case.page_size)
    num_pages = case.batch * pages + int(rng.integers(3))
    table = rng.permutation(num_pages)[: case.batch * pages].astype(np.int32)
    table = table.reshape(case.batch, pages)
    live = -(-lengths // case.page_size)
    table[np.arange(pages) >= live[:, None]] = _STALE_PAGE
    return table, num_pages


def make_problem(case: Case) -> Problem:
    """Draw the values of a case and compute its exact results."""
    rng = np.random.default_rng(case.seed)
    lengths = _lengths(case, rng)

    def draw(*shape: int) -> Array:
        return from_float32(rng.standard_normal(shape, np.float32), case.element)

    q_values = draw(case.batch, case.q_heads, case.head_dim)
    k_values = draw(case.batch, case.max_kv_len, case.kv_heads, case.head_dim)
    v_values = draw(case.batch, case.max_kv_len, case.kv_heads, case.head_dim_v)
    exact = reference.exact_decode(
        *(to_float32(each, case.element) for each in (q_values, k_values, v_values)),
        kv_len=lengths,
    )
    q = spaced(q_values.shape, case)
    q[...] = q_values
    table = None
    if case.page_size:
        table, num_pages = _page_table(case, lengths, rng)
        k, v = (_paged(case, each, lengths, table, num_pages) for each in (k_values, v_values))
    else:
        k, v = (_dense(case, each, lengths) for each in (k_values, v_values))
    return Problem(
        case=case,
        q=q,
        k=k,
        v=v,
        kv_len=lengths if case.lengths == "each" else None,
        page_table=table,
        uniform_kv_len=int(lengths[0]),
        exact=exact,
    )
