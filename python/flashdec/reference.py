"""Decode attention in float64 with NumPy: the formula, and the bound that kernels keep."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from flashdec.dtypes import DType

__all__ = ["Exact", "error_bound", "exact_decode", "lse_bound", "widen"]

Array = npt.NDArray[Any]

_SPACING_BITS = {DType.FLOAT32: 23, DType.FLOAT16: 10, DType.BFLOAT16: 7}
_LEAST_EXPONENT = {DType.FLOAT32: -126, DType.FLOAT16: -14, DType.BFLOAT16: -126}
_PROBABILITY_ROUNDING = {DType.FLOAT32: 0.0, DType.FLOAT16: 2.0**-11, DType.BFLOAT16: 2.0**-8}


@dataclass(frozen=True, slots=True)
class Exact:
    """Exact results, and what the error bound needs.

    Attributes
    ----------
    o : float64 array ``[batch, q_heads, head_dim_v]``
        The output.
    lse : float64 array ``[batch, q_heads]``
        Natural logarithm of the sum of exponentials; -inf for an empty sequence.
    magnitude : float64 array ``[batch, q_heads, head_dim_v]``
        ``sum_t p[t] |v[t]| / sum_t p[t]``.
    score_terms : float64 array ``[batch, q_heads]``
        ``max_t |scale| sum_d |q[d] k[t,d]|``: what a score's rounding is proportional to.
    """

    o: Array
    lse: Array
    magnitude: Array
    score_terms: Array


def widen(array: Array) -> Array:
    """Return float64 values of a float32, float16 or bfloat16 array."""
    if array.dtype.name == "bfloat16":
        bits = array.view(np.uint16).astype(np.uint32) << np.uint32(16)
        array = bits.view(np.float32)
    wide: Array = array.astype(np.float64)
    return wide


def exact_decode(
    q: Array,
    k: Array,
    v: Array,
    *,
    kv_len: Array | int | None = None,
    page_table: Array | None = None,
    layout: str = "bshd",
    scale: float | None = None,
) -> Exact:
    """Compute decode attention in float64.

    Parameters
    ----------
    q : array ``[batch, q_heads, head_dim]``
        Queries.
    k, v : array
        The cache, shaped as for `flashdec.decode`.
    kv_len : int array ``[batch]`` or int, optional
        Lengths in tokens; None means the capacity.
    page_table : int array ``[batch, pages]``, optional
        Ids of pages.
    layout : {"bshd", "bhsd"}
        The order of the axes of k and v.
    scale : float, optional
        Of the scores; None means ``1 / sqrt(head_dim)``.
    """
    batch, q_heads, head_dim = q.shape
    if layout == "bhsd":
        k, v = k.swapaxes(1, 2), v.swapaxes(1, 2)
    tokens, kv_heads, dim_v = k.shape[1], k.shape[2], v.shape[3]
    capacity = tokens if page_table is None else page_table.shape[1] * tokens
    lengths = np.broadcast_to(capacity if kv_len is None else np.asarray(kv_len), (batch,))
    factor = 1.0 / np.sqrt(head_dim) if scale is None else scale
    result = Exact(
        o=np.zeros((batch, q_heads, dim_v)),
        lse=np.full((batch, q_heads), -np.inf),
        magnitude=np.zeros((batch, q_heads, dim_v)),
        score_terms=np.zeros((batch, q_heads)),
    )
    for b in range(batch):
        length = int(lengths[b])
        if length == 0:
            continue
        rows_k, rows_v = _rows(k, b, length, page_table), _rows(v, b, length, page_table)
        _attend(q[b], rows_k, rows_v, factor, result, b, q_heads // kv_heads)
    return result


def _rows(cache: Array, b: int, length: int, page_table: Array | None) -> Array:
    """Return the live rows of one sequence, ``[length, kv_heads, dim]`` in float64."""
    if page_table is None:
        return widen(cache[b, :length])
    page_size = cache.shape[1]
    pages = cache[page_table[b, : -(-length // page_size)]]
    return widen(pages.reshape(-1, *cache.shape[2:])[:length])


def _attend(q: Array, k: Array, v: Array, factor: float, result: Exact, b: int, group: int) -> None:
    heads, dim = q.shape
    grouped = widen(q).reshape(-1, group, dim)
    with np.errstate(invalid="ignore", divide="ignore", over="ignore", under="ignore"):
        scores = factor * np.einsum("hgd,thd->hgt", grouped, k)
        terms = abs(factor) * np.einsum("hgd,thd->hgt", np.abs(grouped), np.abs(k))
        top = scores.max(axis=-1, keepdims=True)
        p = np.exp(scores - np.where(top == -np.inf, 0.0, top))
        total = p.sum(axis=-1)
        o = np.einsum("hgt,thd->hgd", p, v) / total[..., None]
        magnitude = np.einsum("hgt,thd->hgd", p, np.abs(v)) / total[..., None]
        lse = top[..., 0] + np.log(total)
        lse = np.where(top[..., 0] == -np.inf, -np.inf, lse)
    result.o[b] = o.reshape(heads, -1)
    result.magnitude[b] = magnitude.reshape(heads, -1)
    result.lse[b] = lse.reshape(heads)
    result.score_terms[b] = terms.max(axis=-1).reshape(heads)


def ulp(values: Array, element: DType) -> Array:
    """Return the units in the last place that values have in an element type."""
    size = np.maximum(np.abs(values), 2.0 ** _LEAST_EXPONENT[element])
    with np.errstate(invalid="ignore"):
        units: Array = np.exp2(np.floor(np.log2(size)) - _SPACING_BITS[element])
    return units


def error_bound(exact: Exact, element: DType, math_precision: DType = DType.FLOAT32) -> Array:
    """Return the bound on ``|o - exact.o|``: rule 7 of the numeric contract in ``flashdec.h``.

    Parameters
    ----------
    exact : Exact
        The exact results.
    element : DType
        Of the output: the unit in the last place is its.
    math_precision : DType
        Of the kernel's guarantee: the rounding of probabilities.
    """
    with np.errstate(invalid="ignore"):
        slope = (
            _PROBABILITY_ROUNDING[math_precision]
            + 2.0**-20
            + 2.0**-21 * exact.score_terms[..., None]
        )
        bound: Array = 0.625 * ulp(exact.o, element) + slope * exact.magnitude
    return bound


def lse_bound(exact: Exact) -> Array:
    """Return the bound on ``|lse - exact.lse|``, 0 where the exact value is infinite."""
    finite = np.isfinite(exact.lse)
    size = np.maximum(1.0, np.abs(np.where(finite, exact.lse, 0.0)))
    with np.errstate(invalid="ignore"):
        bound: Array = np.where(finite, 1e-5 * size + 2.0**-21 * exact.score_terms, 0.0)
    return bound
