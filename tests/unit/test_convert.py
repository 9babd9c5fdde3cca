"""float16 and bfloat16 in core/convert.h against NumPy and ml_dtypes, all patterns."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
import pytest

ml_dtypes = pytest.importorskip("ml_dtypes")

DTYPES = {"f16": np.float16, "bf16": ml_dtypes.bfloat16}
PATTERNS = np.arange(2**16, dtype=np.uint16)


def widen(core: Any, name: str, bits: Any) -> Any:
    out = np.empty(bits.shape, np.float32)
    call(getattr(core, f"unit_{name}_to_float"), bits, out)
    return out


def narrow(core: Any, name: str, values: Any) -> Any:
    out = np.empty(values.shape, np.uint16)
    call(getattr(core, f"unit_float_to_{name}"), np.ascontiguousarray(values, np.float32), out)
    return out


def call(function: Any, source: Any, target: Any) -> None:
    pointers = [ctypes.c_void_p(array.ctypes.data) for array in (source, target)]
    function(*pointers, ctypes.c_int64(source.size))


def expected_bits(name: str, values: Any) -> Any:
    with np.errstate(over="ignore"):
        return values.astype(np.float32).astype(DTYPES[name]).view(np.uint16)


def same_bits_but_nan(name: str, found: Any, values: Any) -> None:
    """Bit for bit, save that any NaN will do for a NaN."""
    nan = np.isnan(values)
    assert np.all(np.isnan(found[nan].view(DTYPES[name]).astype(np.float32)))
    wrong = found[~nan] != expected_bits(name, values[~nan])
    assert not wrong.any(), values[~nan][wrong][:5]


@pytest.mark.parametrize("name", DTYPES)
def test_every_pattern_to_float(core: Any, name: str) -> None:
    found = widen(core, name, PATTERNS)
    wanted = PATTERNS.view(DTYPES[name]).astype(np.float32)
    nan = np.isnan(wanted)
    assert np.array_equal(np.isnan(found), nan)
    assert np.array_equal(found[~nan].view(np.uint32), wanted[~nan].view(np.uint32))


@pytest.mark.parametrize("name", DTYPES)
def test_every_value_survives_the_round_trip(core: Any, name: str) -> None:
    values = widen(core, name, PATTERNS)
    number = ~np.isnan(values)
    assert np.array_equal(narrow(core, name, values)[number], PATTERNS[number])
    same_bits_but_nan(name, narrow(core, name, values), values)


@pytest.mark.parametrize("name", DTYPES)
def test_ties_and_their_neighbours_round_to_even(core: Any, name: str) -> None:
    """Halfway between any two neighbours, and one float to either side of it."""
    values = np.unique(widen(core, name, PATTERNS)[np.isfinite(widen(core, name, PATTERNS))])
    ties = ((values[1:].astype(np.float64) + values[:-1]) / 2).astype(np.float32)
    inf = np.float32(np.inf)
    for moved in (ties, np.nextafter(ties, inf), np.nextafter(ties, -inf)):
        same_bits_but_nan(name, narrow(core, name, moved), moved)


@pytest.mark.parametrize("name", DTYPES)
def test_random_floats(core: Any, name: str) -> None:
    bits = np.random.default_rng(2).integers(0, 2**32, 1_000_000, dtype=np.uint32)
    values = bits.view(np.float32)
    same_bits_but_nan(name, narrow(core, name, values), values)


EDGES = [
    0.0, -0.0, np.inf, -np.inf, 65504.0, 65519.996, 65520.0, 65536.0, 2.0**-14, 2.0**-24,
    2.0**-25, np.nextafter(np.float32(2.0**-25), np.float32(1)), 2.0**-26, 6.097e-05,
    float(np.finfo(np.float32).max), float(np.finfo(np.float32).tiny), 1e-45, 2.0**-133,
    3.3895314e38, 3.3961776e38,
]  # fmt: skip


@pytest.mark.parametrize("name", DTYPES)
def test_edges(core: Any, name: str) -> None:
    values = np.array([sign * edge for edge in EDGES for sign in (1, -1)], np.float32)
    same_bits_but_nan(name, narrow(core, name, values), values)


@pytest.mark.parametrize("name", DTYPES)
def test_no_nan_becomes_a_number(core: Any, name: str) -> None:
    """Payloads in the low bits only, which a rounding would drop or carry away."""
    payloads = [1 << bit for bit in range(23)] + [0x7FFFFF, 0xFFFF, 0x7FFF, 0x1FFF]
    bits = [sign | 0x7F800000 | payload for payload in payloads for sign in (0, 1 << 31)]
    values = np.array(bits, np.uint32).view(np.float32)
    same_bits_but_nan(name, narrow(core, name, values), values)
