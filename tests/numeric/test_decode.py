"""flashdec.decode, in one call, with the array libraries there are."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest

import flashdec
from flashdec.reference import error_bound, exact_decode, lse_bound, widen

LENGTHS = np.array([300, 17], np.int32)


def data(dtype: Any) -> tuple[Any, Any, Any]:
    rng = np.random.default_rng(0)
    q = rng.standard_normal((2, 8, 64)).astype(dtype)
    return q, *(rng.standard_normal((2, 300, 2, 64)).astype(dtype) for _ in range(2))


def verify(q: Any, k: Any, v: Any, o: Any, lse: Any) -> None:
    exact = exact_decode(q, k, v, kv_len=LENGTHS)
    element = flashdec.dtypes.as_dtype(q.dtype)
    assert (np.abs(widen(np.asarray(o)) - exact.o) <= error_bound(exact, element)).all()
    assert (np.abs(np.asarray(lse) - exact.lse) <= lse_bound(exact)).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float16, ml_dtypes.bfloat16])
def test_numpy(dtype: Any) -> None:
    q, k, v = data(dtype)
    verify(q, k, v, *flashdec.decode(q, k, v, kv_len=LENGTHS, return_lse=True))


def test_torch() -> None:
    torch = pytest.importorskip("torch")
    for dtype in (np.float32, np.float16):
        q, k, v = data(dtype)
        o, lse = flashdec.decode(
            *(torch.from_numpy(a) for a in (q, k, v)),
            kv_len=torch.from_numpy(LENGTHS),
            return_lse=True,
        )
        assert isinstance(o, torch.Tensor)
        verify(q, k, v, o.numpy(), lse.numpy())


def test_torch_bfloat16_equals_numpy() -> None:
    torch = pytest.importorskip("torch")
    q, k, v = data(ml_dtypes.bfloat16)
    there = [torch.from_numpy(a.view(np.int16)).view(torch.bfloat16) for a in (q, k, v)]
    o = flashdec.decode(*there)
    assert o.view(torch.int16).numpy().tobytes() == flashdec.decode(q, k, v).tobytes()


def test_jax() -> None:
    jax = pytest.importorskip("jax")
    for dtype in (np.float32, ml_dtypes.bfloat16):
        q, k, v = data(dtype)
        o, lse = flashdec.decode(
            *(jax.numpy.asarray(a) for a in (q, k, v)), kv_len=LENGTHS, return_lse=True
        )
        assert isinstance(o, jax.Array)
        verify(q, k, v, o, lse)


class DLPackOnly:
    """An array of a library nobody has heard of."""

    def __init__(self, array: Any) -> None:
        self.array = array

    def __dlpack__(self, **options: Any) -> Any:
        return self.array.__dlpack__(**options)

    def __dlpack_device__(self) -> Any:
        return self.array.__dlpack_device__()


def test_anything_with_dlpack() -> None:
    q, k, v = data(np.float32)
    out = np.empty_like(q)
    result = flashdec.decode(*(DLPackOnly(a) for a in (q, k, v)), out=DLPackOnly(out))
    assert isinstance(result, DLPackOnly)
    assert out.tobytes() == flashdec.decode(q, k, v).tobytes()
    with pytest.raises(flashdec.InvalidArgumentError, match="pass out"):
        flashdec.decode(*(DLPackOnly(a) for a in (q, k, v)))


def test_old_dlpack_without_versions() -> None:
    class Old(DLPackOnly):
        def __dlpack__(self, stream: Any = None) -> Any:  # type: ignore[override]
            return self.array.__dlpack__()

    q, k, v = data(np.float32)
    out = np.empty_like(q)
    flashdec.decode(Old(q), Old(k), Old(v), out=out)
    assert out.tobytes() == flashdec.decode(q, k, v).tobytes()


def test_one_length_for_all() -> None:
    q, k, v = data(np.float16)
    for length in (0, 1, 33, 300):
        want = flashdec.decode(q, k, v, kv_len=np.full(2, length, np.int32))
        assert flashdec.decode(q, k, v, kv_len=length).tobytes() == want.tobytes()


def test_out_and_layout_and_pages() -> None:
    q, k, v = data(np.float32)
    want = flashdec.decode(q, k, v)
    heads_first = [np.ascontiguousarray(a.swapaxes(1, 2)) for a in (k, v)]
    assert flashdec.decode(q, *heads_first, layout="bhsd").tobytes() == want.tobytes()
    pages = [a.reshape(2 * 15, 20, 2, 64) for a in (k, v)]
    table = np.arange(30, dtype=np.int32).reshape(2, 15)
    out = np.empty_like(q)
    assert flashdec.decode(q, *pages, page_table=table, out=out) is out
    assert out.tobytes() == want.tobytes()


def test_rows_that_are_not_aligned() -> None:
    """An odd address is found out, and only costs another kernel."""
    q, k, v = data(np.float32)
    shifted = np.empty(k.size + 1, np.float32)[1:].reshape(k.shape)
    shifted[...] = k
    assert flashdec.decode(q, shifted, v).tobytes() == flashdec.decode(q, k, v).tobytes()
