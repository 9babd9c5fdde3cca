"""flashdec.append refuses bad arrays and numbers before it writes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scene import check_sentence

import flashdec

F32, F16, I32 = np.float32, np.float16, np.int32
WRITTEN = ("q_out", "k_cache", "v_cache", "status")
FLOATS = ("k", "v", "k_cache", "v_cache", "q", "q_out", "cos", "sin")
WORDS = ("kv_len", "new_len", "positions", "page_table", "status")


def operands() -> dict[str, Any]:
    """Two sequences of up to three new tokens, in five pages of four."""
    return {
        "k": np.ones((2, 3, 2, 8), F32),
        "v": np.ones((2, 3, 2, 6), F32),
        "k_cache": np.full((5, 4, 2, 8), 7, F32),
        "v_cache": np.full((5, 4, 2, 6), 7, F32),
        "kv_len": np.array([5, 2], I32),
        "q": np.ones((2, 3, 4, 8), F32),
        "q_out": np.full((2, 3, 4, 8), 7, F32),
        "cos": np.ones((9, 2), F32),
        "sin": np.zeros((9, 2), F32),
        "new_len": np.array([3, 1], I32),
        "positions": np.array([5, 2], I32),
        "page_table": np.array([[0, 1], [2, 3]], I32),
        "status": np.zeros(1, np.uint32),
    }


def contiguous() -> dict[str, Any]:
    caches = {"k_cache": np.full((2, 8, 2, 8), 7, F32), "v_cache": np.full((2, 8, 2, 6), 7, F32)}
    return {**operands(), **caches, "page_table": None}


def refuse(arrays: dict[str, Any], *words: object) -> None:
    kept = {name: each.tobytes() for name, each in arrays.items() if isinstance(each, np.ndarray)}
    with pytest.raises(flashdec.InvalidArgumentError) as caught:
        flashdec.append(**arrays)
    check_sentence(str(caught.value), *words)
    assert kept == {name: arrays[name].tobytes() for name in kept}


def ones(*shape: int, dtype: Any = F32) -> Any:
    return np.ones(shape, dtype)


@pytest.mark.parametrize("make", [operands, contiguous], ids=["paged", "contiguous"])
def test_right_operands_are_taken(make: Any) -> None:
    arrays = make()
    assert flashdec.append(**arrays, advance=True) is arrays["q_out"]
    assert arrays["kv_len"].tolist() == [8, 3]
    assert (arrays["k_cache"] == 1).sum() == (3 + 1) * 2 * 8
    assert arrays["status"] == 0


REFUSED: dict[str, tuple[dict[str, Any], tuple[object, ...]]] = {
    "v heads": ({"v": ones(2, 3, 1, 6)}, ("v has the shape (2, 3, 1, 6)", "(2, 3, 2, 6)")),
    "v of one token": ({"v": ones(2, 2, 6)}, ("v has the shape", "(2, 3, 2, 6)")),
    "q batch": ({"q": ones(1, 3, 4, 8)}, ("q has the shape (1, 3, 4, 8)", "(2, 3, 4, 8)")),
    "q row": ({"q": ones(2, 3, 4, 6)}, ("q has the shape (2, 3, 4, 6)", "(2, 3, 4, 8)")),
    "q_out": ({"q_out": ones(2, 3, 2, 8)}, ("q_out has the shape (2, 3, 2, 8)", "(2, 3, 4, 8)")),
    "k_cache heads": ({"k_cache": ones(5, 4, 1, 8)}, ("k_cache has the shape", "(5, 4, 2, 8)")),
    "v_cache row": ({"v_cache": ones(5, 4, 2, 8)}, ("v_cache has the shape", "(5, 4, 2, 6)")),
    "v_cache pages": ({"v_cache": ones(4, 4, 2, 6)}, ("v_cache has the shape", "(5, 4, 2, 6)")),
    "kv_len shape": ({"kv_len": ones(3, dtype=I32)}, ("kv_len has the shape (3,)", "(2,)")),
    "new_len shape": ({"new_len": ones(1, dtype=I32)}, ("new_len has the shape (1,)", "(2,)")),
    "positions shape": ({"positions": ones(9, dtype=I32)}, ("positions has the shape (9,)",)),
    "page_table batch": ({"page_table": ones(3, 2, dtype=I32)}, ("page_table", "(3, 2)", "(2, 2)")),
    "status shape": ({"status": ones(2, dtype=I32)}, ("status has the shape (2,)", "(1,)")),
    "sin shape": ({"sin": ones(8, 2)}, ("sin has the shape (8, 2)", "(9, 2)")),
    "rotary_dim": ({"cos": ones(9, 5), "sin": ones(9, 5)}, ("cos has 5 columns", "at most 4")),
    "cos dtype": ({"cos": ones(9, 2, dtype=F16)}, ("cos", "float16", "float32")),
    "angles dtype": (dict.fromkeys(("cos", "sin"), ones(9, 2, dtype=F16)), ("float16", "float32")),
    "no sin": ({"sin": None}, ("sin is missing",)),
    "no cos": ({"cos": None}, ("cos is missing",)),
    "no angles": ({"cos": None, "sin": None}, ("positions is given",)),
    "no q": ({"q": None}, ("q_out is given without q",)),
    "no kv_len": ({"kv_len": None}, ("kv_len is None",)),
    "kv_len -1": ({"kv_len": -1}, ("kv_len is -1", "0 to 8")),
    "kv_len 9": ({"kv_len": 9}, ("kv_len is 9", "0 to 8")),
    "kv_len 2^70": ({"kv_len": 2**70}, ("kv_len is", 2**70)),
    "kv_len full": ({"kv_len": 6, "positions": None, "new_len": None},
                    ("tokens is 3 and kv_len 6", "max_kv_len, 8")),
    "kv_len float": ({"kv_len": 2.0}, ("kv_len is of type float",)),
    "kv_len grows": ({"kv_len": 2, "advance": True}, ("kv_len",)),
    "new_len int": ({"new_len": 1}, ("new_len is of type int",)),
    "positions int": ({"positions": 5}, ("positions is of type int",)),
    "status int": ({"status": 0}, ("status is of type int",)),
    "layout": ({"layout": "sbhd"}, ("layout is 'sbhd'", "bshd", "bhsd")),
    "no layout": ({"layout": None}, ("layout is None",)),
    "stream": ({"stream": 0x1234}, ("stream is 0x1234", "CPU")),
    "no stream": ({"stream": "s"}, ("stream is of type str",)),
    "no k": ({"k": None}, ("k is of type NoneType",)),
    "list": ({"v_cache": [1.0]}, ("v_cache is of type list",)),
    "overlap": (
        {"k_cache": np.lib.stride_tricks.as_strided(ones(320), (5, 4, 2, 8), (0, 64, 32, 4))},
        ("k_cache_stride_page is 0", "overlap"),
    ),
}  # fmt: skip


@pytest.mark.parametrize(("changes", "words"), REFUSED.values(), ids=REFUSED)
def test_append_refuses(changes: dict[str, Any], words: tuple[object, ...]) -> None:
    refuse({**operands(), **changes}, *words)


def test_caches_without_pages_have_the_batch_of_k() -> None:
    refuse({**operands(), "page_table": None}, "k_cache has the shape (5, 4, 2, 8)", "(2, 4, 2, 8)")


def test_heads_before_tokens_are_checked_by_their_axes() -> None:
    refuse({**contiguous(), "layout": "bhsd"}, "k_cache has the shape", "2", "8")


@pytest.mark.parametrize("name", [*FLOATS, *WORDS])
def test_wrong_rank(name: str) -> None:
    for shape in ((1, 1, *operands()[name].shape), ()):
        arrays = operands()
        arrays[name] = np.ones(shape, arrays[name].dtype)
        refuse(arrays, f"{name} has {len(shape)} dimensions", "must have")


@pytest.mark.parametrize("dtype", [np.float64, I32, np.complex64])
@pytest.mark.parametrize("name", FLOATS)
def test_rows_of_no_float_are_refused(name: str, dtype: Any) -> None:
    arrays = operands()
    arrays[name] = arrays[name].astype(dtype)
    refuse(arrays, f"{name} has", np.dtype(dtype).name)


@pytest.mark.parametrize("name", [name for name in FLOATS if name not in ("k", "cos", "sin")])
def test_rows_of_another_type_than_k_are_refused(name: str) -> None:
    arrays = operands()
    arrays[name] = arrays[name].astype(F16)
    refuse(arrays, f"{name} has elements of type float16", "k float32")


@pytest.mark.parametrize("dtype", [np.int64, np.int16, np.uint64, F32])
@pytest.mark.parametrize("name", WORDS)
def test_words_of_another_type_are_refused(name: str, dtype: Any) -> None:
    arrays = operands()
    arrays[name] = arrays[name].astype(dtype)
    refuse(arrays, f"{name} has elements of type {np.dtype(dtype).name}", "int32")


@pytest.mark.parametrize("name", [*FLOATS, *(name for name in WORDS if name != "status")])
def test_strided_last_axis_is_refused(name: str) -> None:
    arrays = operands()
    arrays[name] = np.repeat(arrays[name], 2, axis=-1)[..., ::2]
    refuse(arrays, f"{name} has the stride 2 along its last axis", "must be 1")


@pytest.mark.parametrize("name", [*(name for name in FLOATS if name != "cos"), "page_table"])
def test_negative_strides_are_refused(name: str) -> None:
    arrays = operands()
    arrays[name] = arrays[name][::-1]
    refuse(arrays, f"{name}_stride", "is -")


@pytest.mark.parametrize("name", [*FLOATS, *WORDS])
def test_empty_arrays_are_refused(name: str) -> None:
    arrays = operands()
    arrays[name] = arrays[name][:0]
    refuse(arrays)


@pytest.mark.parametrize("name", [*WRITTEN, "kv_len"])
def test_read_only_outputs_are_refused(name: str) -> None:
    """kv_len is one where it grows."""
    arrays = operands()
    arrays[name].flags.writeable = False
    refuse({**arrays, "advance": name == "kv_len"}, f"{name} is read-only")


@pytest.mark.parametrize("name", [*WRITTEN, "kv_len"])
def test_arrays_of_jax_do_not_change(name: str) -> None:
    jnp = pytest.importorskip("jax.numpy")
    arrays = operands()
    before = arrays[name]
    arrays[name] = jnp.array(before)
    refuse({**arrays, "advance": name == "kv_len"}, f"{name} is read-only")
    assert (np.asarray(arrays[name]) == before).all()


def test_inputs_may_be_read_only() -> None:
    arrays = operands()
    for name in arrays.keys() - set(WRITTEN):
        arrays[name].flags.writeable = False
    flashdec.append(**arrays)
    assert (arrays["q_out"] == 1).sum() == (3 + 1) * 4 * 8


@pytest.mark.parametrize("name", FLOATS)
def test_requires_grad_is_refused(name: str) -> None:
    torch = pytest.importorskip("torch")
    arrays = operands()
    arrays[name] = torch.from_numpy(arrays[name]).requires_grad_()
    refuse(arrays, f"{name} requires grad", f"{name}.detach()")


@pytest.mark.parametrize("name", [*FLOATS, *WORDS])
def test_meta_tensors_are_refused(name: str) -> None:
    torch = pytest.importorskip("torch")
    arrays = operands()
    arrays[name] = torch.from_numpy(arrays[name]).to("meta")
    refuse(arrays, f"{name} is a meta or fake tensor")


@pytest.mark.cuda
@pytest.mark.parametrize("name", [*FLOATS, *WORDS])
def test_arrays_of_two_devices_are_refused(name: str) -> None:
    """One on the CPU, the others on the GPU; and the other way round."""
    torch = pytest.importorskip("torch")
    here = {each: torch.from_numpy(array) for each, array in operands().items()}
    there = {each: array.cuda() for each, array in here.items()}
    for some, other in ((here, there), (there, here)):
        with pytest.raises(flashdec.DeviceError, match=r"is on (cpu|cuda:0) and k on") as caught:
            flashdec.append(**{**other, name: some[name]})
        check_sentence(str(caught.value), f"{'v' if name == 'k' else name} is on")
    assert (there["k_cache"] == 7).all()
    assert there["kv_len"].tolist() == [5, 2]
