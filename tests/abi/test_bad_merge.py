"""What flashdec_merge refuses, in a sentence and with nothing written."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
import pytest
from scene import (
    INVALID_FLAGS,
    INVALID_STRIDE,
    INVALID_STRUCT_SIZE,
    INVALID_VALUE,
    MISALIGNED,
    NO_DEVICE,
    NULL_POINTER,
    check_sentence,
    last_error,
)

import flashdec
from flashdec import _abi, _abi_merge
from kit.backends import cuda_is_usable

PARTS, BATCH, HEADS, DIM = 3, 2, 4, 8


class Arrays:
    """Operands, and arguments that are right."""

    def __init__(self) -> None:
        self.part_o = np.ones((PARTS, BATCH, HEADS, DIM), np.float32)
        self.part_lse = np.ones((PARTS, BATCH, HEADS), np.float32)
        self.o = np.full((BATCH, HEADS, DIM), 7, np.float32)
        self.lse = np.full((BATCH, HEADS), 7, np.float32)
        self.args = _abi.sized(_abi_merge.CMergeArgs)
        self.args.backend, self.args.part_o_dtype = 1, 1
        self.args.parts, self.args.batch, self.args.heads, self.args.head_dim = self.part_o.shape
        for name in ("part_o", "part_lse", "o", "lse"):
            array = getattr(self, name)
            setattr(self.args, name, array.ctypes.data)
            axes = ("part", "batch", "head")[-2:] if name in ("o", "lse") else (
                "part", "batch", "head")  # fmt: skip
            for axis, stride in zip(axes, array.strides, strict=False):
                setattr(self.args, f"{name}_stride_{axis}", stride // 4)

    def merge(self, stream: Any = None) -> int:
        status: int = _abi_merge.merge(ctypes.addressof(self.args), stream)
        return status


def test_right_arguments_are_taken() -> None:
    arrays = Arrays()
    assert arrays.merge() == 0, last_error()
    assert (arrays.o == 1).all()
    assert np.allclose(arrays.lse, 1 + np.log(PARTS))


REFUSED: list[tuple[str, int, int, tuple[object, ...]]] = [
    ("struct_size", 8, INVALID_STRUCT_SIZE, ("args->struct_size is 8",)),
    ("flags", 2, INVALID_FLAGS, ("args->flags is 0x2",)),
    ("backend", 0, INVALID_VALUE, ("backend is 0",)),
    ("backend", 3, INVALID_VALUE, ("backend is 3",)),
    ("device", 1, INVALID_VALUE, ("device is 1", "0 to 0")),
    ("device", -1, INVALID_VALUE, ("device is -1",)),
    ("num_threads", 1025, INVALID_VALUE, ("num_threads is 1025", 1024)),
    ("parts", 0, INVALID_VALUE, ("parts is 0", "1 to 2147483647")),
    ("batch", -1, INVALID_VALUE, ("batch is -1",)),
    ("heads", 2**31, INVALID_VALUE, ("heads is 2147483648",)),
    ("head_dim", 65537, INVALID_VALUE, ("head_dim is 65537", 65536)),
    ("head_dim", 0, INVALID_VALUE, ("head_dim is 0",)),
    ("part_o_dtype", 0, INVALID_VALUE, ("part_o_dtype is 0",)),
    ("part_lse_dtype", 4, INVALID_VALUE, ("part_lse_dtype is 4",)),
    ("o_dtype", 9, INVALID_VALUE, ("o_dtype is 9",)),
    ("part_o", 0, NULL_POINTER, ("part_o is NULL",)),
    ("part_lse", 0, NULL_POINTER, ("part_lse is NULL",)),
    ("o", 0, NULL_POINTER, ("o is NULL",)),
    ("part_o_stride_batch", -1, INVALID_STRIDE, ("part_o_stride_batch is -1",)),
    ("part_lse_stride_head", -4, INVALID_STRIDE, ("part_lse_stride_head is -4",)),
    ("part_o_stride_part", -(2**62), INVALID_STRIDE, ("part_o", "2^62")),
    ("part_lse_stride_batch", 2**62, INVALID_STRIDE, ("part_lse", "2^62")),
    ("o_stride_head", DIM - 1, INVALID_STRIDE, ("o_stride_head 7", "overlap")),
    ("o_stride_batch", HEADS * DIM - 1, INVALID_STRIDE, ("o_stride_batch is 31", "overlap")),
    ("o_stride_batch", 0, INVALID_STRIDE, ("o_stride_batch is 0", "overlap")),
    ("lse_stride_head", 0, INVALID_STRIDE, ("lse_stride_head 0", "overlap")),
    ("lse_stride_batch", -1, INVALID_STRIDE, ("lse_stride_batch is -1",)),
]


@pytest.mark.parametrize(("name", "value", "code", "words"), REFUSED)
def test_refusals(name: str, value: int, code: int, words: tuple[object, ...]) -> None:
    arrays = Arrays()
    setattr(arrays.args, name, value)
    assert arrays.merge() == code
    check_sentence(last_error(), *words)
    assert (arrays.o == 7).all()
    assert (arrays.lse == 7).all()


@pytest.mark.parametrize("name", ["part_o", "part_lse", "o", "lse"])
def test_half_an_element_is_refused(name: str) -> None:
    arrays = Arrays()
    setattr(arrays.args, name, getattr(arrays.args, name) + 2)
    assert arrays.merge() == MISALIGNED
    check_sentence(last_error(), f"{name} is at", "4 bytes")


def test_sizes_whose_product_is_too_large_are_refused() -> None:
    arrays = Arrays()
    arrays.args.batch = arrays.args.heads = 2**16
    assert arrays.merge() == INVALID_VALUE
    check_sentence(last_error(), "batch * heads is 4294967296")


def test_a_stream_on_the_cpu_is_refused() -> None:
    arrays = Arrays()
    assert arrays.merge(0x1234) == INVALID_VALUE
    check_sentence(last_error(), "stream is 0x1234", "CPU")


def test_no_arguments_are_refused() -> None:
    assert _abi_merge.merge(None, None) == NULL_POINTER
    check_sentence(last_error(), "args is NULL")


def test_without_lse_it_is_not_written() -> None:
    arrays = Arrays()
    arrays.args.lse = 0
    assert arrays.merge() == 0
    assert (arrays.o == 1).all()


@pytest.mark.skipif(cuda_is_usable(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_refused() -> None:
    arrays = Arrays()
    arrays.args.backend = 2
    assert arrays.merge() == NO_DEVICE
    check_sentence(last_error())
    assert (arrays.o == 7).all()


@pytest.mark.cuda
def test_a_device_that_is_not_there_is_refused() -> None:
    arrays = Arrays()
    arrays.args.backend, arrays.args.device = 2, 99
    assert arrays.merge() == NO_DEVICE
    check_sentence(last_error(), "device is 99")


VALUES = np.ones((2, 3, 4, 8), np.float32)
LSE = np.ones((2, 3, 4), np.float32)


@pytest.mark.parametrize(
    ("o", "lse", "more", "words"),
    [
        (VALUES[0], LSE, {}, ("o has 3 dimensions", 4)),
        (VALUES, LSE[0], {}, ("lse has 2 dimensions", 3)),
        (VALUES, LSE[:1], {}, ("(1, 3, 4)", "(2, 3, 4)")),
        (VALUES.astype(int), LSE, {}, ("o has elements of type int64", "float16")),
        (VALUES, LSE.astype(float), {}, ("lse has elements of type float64",)),
        (VALUES[..., ::2], LSE, {}, ("stride 2 along its last axis",)),
        (VALUES, LSE, {"out": np.ones((3, 4, 9), np.float32)}, ("out has the shape (3, 4, 9)",)),
        (VALUES, LSE, {"lse_out": np.ones((3, 4))}, ("lse_out has elements of type float64",)),
        (VALUES, LSE, {"lse_out": np.ones((3, 4), np.float16)}, ("lse_out", "must be float32")),
        ((VALUES[0],), LSE, {}, ("o has 1 arrays", "2")),
        ((VALUES[0], VALUES[0, :2]), LSE, {}, ("o[0] has shape", "(2, 4, 8)")),
        ([], LSE, {}, ("o has 0 arrays",)),
        ((VALUES[0], None), LSE, {}, ("o[1] is None",)),
        (None, LSE, {}, ("o is of type NoneType",)),
    ],
)
def test_python_refusals(o: Any, lse: Any, more: Any, words: tuple[object, ...]) -> None:
    with pytest.raises(flashdec.InvalidArgumentError) as caught:
        flashdec.merge(o, lse, **more)
    check_sentence(str(caught.value), *words)


def test_read_only_outputs_are_refused() -> None:
    out = np.ones((3, 4, 8), np.float32)
    out.flags.writeable = False
    with pytest.raises(flashdec.InvalidArgumentError, match="out is read-only"):
        flashdec.merge(VALUES, LSE, out=out)


def test_arrays_of_jax_do_not_change() -> None:
    jnp = pytest.importorskip("jax.numpy")
    out = jnp.full((3, 4, 8), 7, jnp.float32)
    with pytest.raises(flashdec.InvalidArgumentError, match="out is read-only"):
        flashdec.merge(VALUES, LSE, out=out)
    assert (np.asarray(out) == 7).all()


def test_strides_that_are_not_used_may_differ() -> None:
    wide = np.ones((1, 16, 8), np.float32)[:, :4]
    logs = np.ones((1, 16), np.float32)[:, :4]
    o, _ = flashdec.merge((wide, wide.copy()), (logs, logs.copy()))
    assert (o == 1).all()


def test_empty_arrays_are_refused() -> None:
    with pytest.raises(flashdec.InvalidArgumentError, match="every axis must have an element"):
        flashdec.merge(VALUES[:, :0], LSE[:, :0])


@pytest.mark.cuda
def test_arrays_of_two_devices_are_refused() -> None:
    torch = pytest.importorskip("torch")
    there, logs = torch.from_numpy(VALUES).cuda(), torch.from_numpy(LSE).cuda()
    for o, lse, more in (
        (there, LSE, {}),
        (VALUES, logs, {}),
        (there, logs, {"out": np.ones((3, 4, 8), np.float32)}),
        ((there[0], VALUES[0]), logs, {}),
    ):
        with pytest.raises(flashdec.DeviceError, match=r"is on (cpu|cuda:0)"):
            flashdec.merge(o, lse, **more)
