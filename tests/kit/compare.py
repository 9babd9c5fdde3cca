"""Comparison with float64, at the bound of rule 7 of flashdec.h."""

from __future__ import annotations

from typing import Any

import numpy as np

from flashdec.reference import Exact, error_bound, exact_decode, lse_bound, widen
from kit.arrays import SENTINEL, Arrays
from kit.backends import Result
from kit.case import Case


def exact_of(case: Case, arrays: Arrays) -> Exact:
    table = arrays.page_table
    if table is not None:  # NumPy would refuse the poisoned entries, which are never looked at
        table = np.clip(table, 0, arrays.num_pages - 1)
    return exact_decode(
        arrays.q,
        arrays.k,
        arrays.v,
        kv_len=np.array(case.row_lengths),
        page_table=table,
        layout=case.layout,
        scale=case.scale or None,
    )


def worst(got: Any, want: Any, bound: Any) -> str:
    """Describe the first place where an error is beyond its bound; empty if there is none."""
    for what, test in (("NaN", np.isnan), ("+Inf", np.isposinf), ("-Inf", np.isneginf)):
        differ = np.argwhere(test(got) != test(want))
        if len(differ):
            at = tuple(int(i) for i in differ[0])
            return f"{what} differs at {at}: got {got[at]}, want {want[at]}"
    finite = np.isfinite(want)
    error = np.where(finite, np.abs(np.where(finite, got, 0) - np.where(finite, want, 0)), 0)
    share = np.where(finite, error / np.where(finite, np.maximum(bound, 1e-300), 1), 0)
    if share.size == 0 or share.max() <= 1:
        return ""
    at = tuple(int(i) for i in np.unravel_index(share.argmax(), share.shape))
    return f"error {error[at]:.3g} at {at} is {share[at]:.3g} of its bound; got {got[at]}"


def slab_is_untouched(arrays: Arrays, slab: Any) -> bool:
    """Whether every byte outside o is still the sentinel."""
    outside = np.ones(arrays.slab.shape, bool)
    start = (arrays.o.ctypes.data - arrays.slab.ctypes.data) // arrays.slab.itemsize
    strides = [s // arrays.slab.itemsize for s in arrays.o.strides]
    inside = np.lib.stride_tricks.as_strided(
        outside.reshape(-1)[start:], arrays.o.shape, strides, writeable=True
    )
    inside[...] = False
    return bool((slab[outside].view(np.uint8) == SENTINEL).all())


def check(case: Case, arrays: Arrays, result: Result) -> None:
    """Fail with one line that recreates the case if a result is not what it should be."""
    exact = exact_of(case, arrays)
    bound = error_bound(exact, case.element, result.plan.sku.precision_guarantee.math_precision)
    message = worst(widen(result.o), exact.o, bound)
    assert not message, f"o: {message} with {result.plan}\n{case!r}"
    if case.lse:
        unit = np.log(2) if case.base2 else 1.0
        message = worst(result.lse.astype(np.float64), exact.lse / unit, lse_bound(exact) / unit)
        assert not message, f"lse: {message} with {result.plan}\n{case!r}"
    assert slab_is_untouched(arrays, result.slab), f"wrote outside o with {result.plan}\n{case!r}"


def same_bits(a: Any, b: Any) -> bool:
    """Whether two arrays have the same bits, NaNs included."""
    return bool(a.shape == b.shape and a.dtype == b.dtype and a.tobytes() == b.tobytes())
