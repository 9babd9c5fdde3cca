"""flashdec.merge against float64, at the bound that flashdec.h gives."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest

import flashdec
from flashdec.reference import ulp, widen
from kit.backends import Backend
from kit.compare import same_bits, worst

DTYPES = {
    "float32": np.dtype(np.float32),
    "float16": np.dtype(np.float16),
    "bfloat16": np.dtype(ml_dtypes.bfloat16),
}
SHAPES = [  # parts, batch, heads, head_dim
    (1, 1, 1, 1),
    (2, 3, 5, 64),
    (8, 4, 8, 128),
    (9, 2, 3, 128),  # one more than is asked for at once
    (40, 1, 2, 80),
    (3, 2, 2, 7),
    (5, 1, 3, 576),
    (2, 1, 1, 3001),
    (1000, 1, 2, 16),
]


def partials(shape: tuple[int, ...], dtype: str, seed: int = 1) -> tuple[Any, Any]:
    """Random results over parts, whose logarithms are some apart."""
    draw = np.random.default_rng(seed)
    o = draw.standard_normal(shape).astype(DTYPES[dtype])
    return o, (4 * draw.standard_normal(shape[:3]) + 7).astype(np.float32)


def exact(o: Any, lse: Any, base2: bool = False) -> tuple[Any, Any, Any]:
    """o and lse in float64, and the sum of w |o| that the bound is proportional to."""
    values, logs = widen(o), widen(lse)
    unit = np.log(2.0) if base2 else 1.0
    empty = np.isneginf(logs)
    values = np.where(empty[..., None], 0.0, values)
    with np.errstate(invalid="ignore", divide="ignore"):
        top = logs.max(0)
        weights = np.where(empty, 0.0, np.exp((logs - top) * unit))
        total = weights.sum(0)
        some = total != 0
        whole = (weights[..., None] * values).sum(0) / np.where(some, total, 1.0)[..., None]
        size = (weights[..., None] * abs(values)).sum(0) / np.where(some, total, 1.0)[..., None]
        found = np.where(some, top + np.log(total) / unit, -np.inf)
    return whole, found, size


def run(backend: Backend, o: Any, lse: Any, **more: Any) -> tuple[Any, Any]:
    """Merge arrays, or pairs of arrays, where the backend keeps them."""
    carried: dict[int, Any] = {}
    put = lambda a: tuple(map(put, a)) if isinstance(a, tuple) else backend.view(a, carried)  # noqa: E731
    options = {k: put(v) if isinstance(v, np.ndarray) else v for k, v in more.items()}
    got = flashdec.merge(put(o), put(lse), **options)
    backend.finish()
    return backend.fetch(got[0]).copy(), backend.fetch(got[1]).copy()


def check(got: tuple[Any, Any], o: Any, lse: Any, dtype: str, base2: bool = False) -> None:
    want, want_lse, size = exact(o, lse, base2)
    grows = 2.0**-24 * len(o)
    bound = 0.625 * ulp(want, flashdec.dtypes.as_dtype(dtype)) + (2.0**-19 + grows) * size
    assert not worst(widen(got[0]), want, bound)
    finite = np.where(np.isfinite(want_lse), abs(want_lse), 0.0)
    assert not worst(got[1].astype(np.float64), want_lse, 1e-6 + grows + 2.0**-22 * finite)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_merge(backend: Backend, shape: tuple[int, ...], dtype: str) -> None:
    o, lse = partials(shape, dtype)
    first = run(backend, o, lse)
    check(first, o, lse, dtype)
    again = run(backend, o, lse)
    assert same_bits(first[0], again[0])
    assert same_bits(first[1], again[1])


@pytest.mark.parametrize("dtype", DTYPES)
def test_base_2(backend: Backend, dtype: str) -> None:
    o, lse = partials((5, 2, 3, 64), dtype)
    check(run(backend, o, lse, base2=True), o, lse, dtype, base2=True)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_halves_become_float32(backend: Backend, dtype: str) -> None:
    o, lse = partials((5, 2, 3, 64), dtype)
    out = np.empty((2, 3, 64), np.float32)
    check(run(backend, o, lse, out=out), o, lse, "float32")


@pytest.mark.parametrize("dtype", DTYPES)
def test_logarithms_of_the_type_of_o(backend: Backend, dtype: str) -> None:
    o, lse = partials((4, 2, 3, 64), dtype)
    rounded = (lse).astype(DTYPES[dtype])
    check(run(backend, o, rounded), o, rounded, dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("head_dim", [64, 127])
def test_rows_packed_with_their_logarithm(backend: Backend, head_dim: int, dtype: str) -> None:
    """As an all-to-all leaves them."""
    o, lse = partials((6, 2, 5, head_dim), dtype)
    packed = np.empty((6, 2, 5, head_dim + 1), o.dtype)
    packed[..., :-1], packed[..., -1] = o, (lse).astype(DTYPES[dtype])
    got = run(backend, packed[..., :-1], packed[..., -1])
    check(got, o, packed[..., -1], dtype)


def test_any_strides(backend: Backend) -> None:
    o, lse = partials((4, 3, 5, 64), "bfloat16")
    whole = run(backend, o, lse)
    wide = np.zeros((3, 4, 7, 72), o.dtype)
    wide[:, :, :5, :64] = o.transpose(1, 0, 2, 3)
    logs = np.full((5, 4, 3), 7.0, np.float32)
    logs[...] = lse.transpose(2, 0, 1)
    out = np.zeros((5, 3, 64), o.dtype)
    got = run(
        backend, wide[:, :, :5, :64].transpose(1, 0, 2, 3), logs.transpose(1, 2, 0),
        out=out.transpose(1, 0, 2),
    )  # fmt: skip
    assert same_bits(got[0], whole[0])
    assert same_bits(got[1], whole[1])


def test_a_part_for_all_sequences(backend: Backend) -> None:
    """A stride of 0: a common prefix of one query, for instance."""
    o, lse = partials((3, 1, 4, 64), "float32")
    wide, logs = np.broadcast_to(o, (3, 5, 4, 64)), np.broadcast_to(lse, (3, 5, 4))
    got = run(backend, wide, logs)
    check(got, wide, logs, "float32")


@pytest.mark.parametrize("dtype", DTYPES)
def test_two_arrays(backend: Backend, dtype: str) -> None:
    """Wherever they lie: what comes first may have the higher address."""
    o, lse = partials((2, 2, 3, 64), dtype)
    stacked = run(backend, o, lse)
    for order in ((0, 1), (1, 0)):
        pair = run(backend, (o[order[0]], o[order[1]]), (lse[order[0]], lse[order[1]]))
        check(pair, o[list(order)], lse[list(order)], dtype)
        if order == (0, 1):
            assert same_bits(pair[0], stacked[0])


@pytest.mark.parametrize("parts", [3, 20])
@pytest.mark.parametrize("head_dim", [64, 7, 600])
@pytest.mark.parametrize("dtype", DTYPES)
def test_in_place(backend: Backend, dtype: str, head_dim: int, parts: int) -> None:
    o, lse = partials((parts, 4, 2, head_dim), dtype)
    whole = run(backend, o, lse)
    for part in (0, 1, parts - 1):
        mine, logs = o.copy(), lse.copy()
        carried: dict[int, Any] = {}
        there, logs_there = backend.view(mine, carried), backend.view(logs, carried)
        got, got_lse = flashdec.merge(there, logs_there, out=there[part], lse_out=logs_there[part])
        backend.finish()
        assert same_bits(backend.fetch(got).copy(), whole[0])
        assert same_bits(backend.fetch(got_lse).copy(), whole[1])
        left = [i for i in range(parts) if i != part]
        assert same_bits(np.asarray(backend.fetch(there))[left], o[left])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("parts", [2, 3, 12])
def test_empty_parts_change_no_bit(backend: Backend, parts: int, dtype: str) -> None:
    """Also of a zero's sign; and their o is not looked at."""
    o, lse = partials((parts, 2, 3, 64), dtype)
    alone = np.zeros((2, 3, 64), np.float32)
    alone[...] = np.random.default_rng(2).standard_normal(alone.shape)
    alone[:, :, ::3], alone[:, :, 1::3] = -0.0, 0.0
    for mine in range(parts):
        o[...] = np.nan
        lse[...] = -np.inf
        o[mine] = (alone).astype(DTYPES[dtype])
        lse[mine] = -0.0 if mine else 3.7
        got = run(backend, o, lse)
        assert same_bits(got[0], o[mine])
        assert same_bits(got[1], lse[mine])


def test_a_row_has_its_bits_in_any_batch(backend: Backend) -> None:
    o, lse = partials((19, 5, 3, 128), "bfloat16")
    whole = run(backend, o, lse)
    alone = run(backend, o[:, 3:4, 1:2], lse[:, 3:4, 1:2])
    assert same_bits(alone[0], whole[0][3:4, 1:2])
    assert same_bits(alone[1], whole[1][3:4, 1:2])


def test_a_row_has_its_bits_at_any_alignment(backend: Backend) -> None:
    o, lse = partials((40, 2, 2, 64), "float32")
    packed = np.empty((40, 2, 2, 65), np.float32)
    packed[..., :-1], packed[..., -1] = o, lse
    whole = run(backend, packed[..., :-1], packed[..., -1])
    alone = run(backend, o[:, :1, :1], lse[:, :1, :1])
    assert same_bits(alone[0], whole[0][:1, :1])
    assert same_bits(alone[1], whole[1][:1, :1])


def test_nothing_at_all(backend: Backend) -> None:
    o, lse = partials((3, 2, 2, 16), "float16")
    o[...], lse[...] = np.nan, -np.inf
    got = run(backend, o, lse)
    assert same_bits(got[0], np.zeros((2, 2, 16), np.float16))
    assert np.isneginf(got[1]).all()


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("part", [0, 2, 10])
def test_a_poisoned_row_stays_alone(backend: Backend, part: int, bad: float) -> None:
    o, lse = partials((11, 2, 3, 16), "float32")
    whole = run(backend, o, lse)
    lse[part, 1, 1] = bad
    got = run(backend, o, lse)
    assert np.isnan(got[0][1, 1]).all()
    assert np.isnan(got[1][1, 1])
    others = np.ones((2, 3), bool)
    others[1, 1] = False
    assert same_bits(got[0][others], whole[0][others])
    assert same_bits(got[1][others], whole[1][others])


@pytest.mark.parametrize("size", [0.0, 1e3, -1e4, 3e38])
def test_logarithms_of_any_size(backend: Backend, size: float) -> None:
    """What is subtracted is exact, so the weights do not get worse."""
    o, lse = partials((7, 2, 2, 32), "float32")
    lse = (lse.astype(np.float64) + size).astype(np.float32)
    check(run(backend, o, lse), o, lse, "float32")


def test_merges_of_merges(backend: Backend) -> None:
    o, lse = partials((6, 2, 3, 64), "float32")
    left, right = run(backend, o[:4], lse[:4]), run(backend, o[4:], lse[4:])
    both = run(backend, (left[0], right[0]), (left[1], right[1]))
    want, want_lse, size = exact(o, lse)
    assert (abs(both[0] - want) <= 2 * (0.625 * ulp(want, flashdec.float32) + 2**-19 * size)).all()
    assert np.allclose(both[1], want_lse, rtol=2**-21, atol=2e-6)


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_cache_in_three_places(backend: Backend, dtype: str) -> None:
    """Decode over each part and merge: attention over all of it."""
    draw = np.random.default_rng(4)
    make = lambda *shape: draw.standard_normal(shape).astype(DTYPES[dtype])  # noqa: E731
    q, k, v = make(2, 8, 64), make(2, 300, 2, 64), make(2, 300, 2, 64)
    carried: dict[int, Any] = {}
    put = lambda a: backend.view(a, carried)  # noqa: E731
    there = [
        flashdec.decode(put(q), put(k[:, a:b]), put(v[:, a:b]), return_lse=True)
        for a, b in ((0, 100), (100, 101), (101, 300))
    ]
    backend.finish()
    o = np.stack([np.asarray(backend.fetch(each[0])) for each in there])
    lse = np.stack([np.asarray(backend.fetch(each[1])) for each in there])
    got = run(backend, o, lse)
    whole, whole_lse = flashdec.decode(put(q), put(k), put(v), return_lse=True)
    backend.finish()
    tolerance = {"float32": 2e-6, "float16": 4e-3, "bfloat16": 3e-2}[dtype]
    want = widen(backend.fetch(whole))
    assert np.allclose(widen(got[0]), want, rtol=tolerance, atol=tolerance)
    assert np.allclose(got[1], backend.fetch(whole_lse), rtol=2e-5, atol=2e-5)


def test_a_pair_with_logarithms_in_one_array(backend: Backend) -> None:
    o, lse = partials((2, 2, 3, 64), "float32")
    whole = run(backend, o, lse)
    for pair in (run(backend, (o[0], o[1]), lse), run(backend, o, (lse[0], lse[1]))):
        assert same_bits(pair[0], whole[0])
        assert same_bits(pair[1], whole[1])
