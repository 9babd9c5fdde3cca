"""Any library's array: how the C side reads it, and what it says of itself.

Three ways, the fastest that a type offers: its DLPack exchange table (PyTorch), NumPy's
``__array_struct__``, or a capsule of ``__dlpack__`` (JAX, CuPy and everything else).
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from flashdec import _abi, _abi_dlpack
from flashdec._enums import ObjectKind
from flashdec.dtypes import DType
from flashdec.errors import InvalidArgumentError

__all__ = ["Reader", "Tensor", "describe", "reader_of"]

_CPU_DEVICES = (1, 3)  # DLDeviceType: host memory, pinned host memory
_DLPACK_LEGACY_STREAM = 1  # how DLPack calls CUDA's default stream

Prepare = Callable[[Any, int], Any]


@dataclass(frozen=True, slots=True)
class Reader:
    """How arrays of one type are handed to the C side.

    Attributes
    ----------
    address : int
        Of the ``flashdec_object_reader``.
    prepare : callable, optional
        ``prepare(array, stream)`` gives the object to pass; None passes the array itself.
    library : str
        "torch", "numpy", or the first part of the type's module.
    structure : object
        The reader itself, kept alive.
    """

    address: int
    prepare: Prepare | None
    library: str
    structure: Any


@dataclass(frozen=True, slots=True)
class Tensor:
    """What an array says of itself.

    Attributes
    ----------
    pointer : int
        Address of the first element.
    shape, strides : tuple of int
        In elements.
    dtype : DType or None
        None if it is not one of ours.
    device : str
        "cpu" or "cuda:N".
    readonly : bool
        Whether it must not be written.
    owner : object
        The array; it keeps the memory alive.
    """

    pointer: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    dtype: DType | None
    device: str
    readonly: bool
    owner: Any


def _make(kind: ObjectKind, library: str, prepare: Prepare | None, **fields: Any) -> Reader:
    structure = _abi_dlpack.make_reader(kind, **fields)
    return Reader(_abi.address(structure), prepare, library, structure)


def _array_struct(array: Any, stream: int) -> Any:
    return array.__array_struct__


def _dlpack_capsule(array: Any, stream: int) -> Any:
    """Export an array, ordered after its producer's work and before ours on `stream`."""
    wait = getattr(array, "block_until_ready", None)  # JAX computes on streams of its own
    if wait is not None:
        wait()
    on_cpu = int(array.__dlpack_device__()[0]) in _CPU_DEVICES
    argument = None if on_cpu else (stream or _DLPACK_LEGACY_STREAM)
    try:
        return array.__dlpack__(stream=argument, max_version=(1, 1))
    except TypeError:  # a library of before DLPack 1.0
        return array.__dlpack__(stream=argument)


_NUMPY = _make(ObjectKind.ARRAY_STRUCT, "numpy", _array_struct)
_NUMPY_BFLOAT16 = _make(
    ObjectKind.ARRAY_STRUCT, "numpy", _array_struct, opaque_dtype=DType.BFLOAT16
)
_numpy_readers: dict[Any, Reader] = {}  # by dtype, whose name is slow to make
_exchange_readers: dict[type, Reader | None] = {}
_capsule_readers: dict[str, Reader] = {}


def _library_of(kind: type) -> str:
    return kind.__module__.split(".", 1)[0]


def _fake_tensors() -> Any:
    """Return torch's class of tensors that only trace, if it has been imported."""
    module = sys.modules.get("torch._subclasses.fake_tensor")
    return () if module is None else module.FakeTensor


def _numpy_reader(dtype: Any) -> Reader:
    reader = _NUMPY_BFLOAT16 if dtype.name == "bfloat16" else _NUMPY
    _numpy_readers[dtype] = reader
    return reader


def _exchange_reader(kind: type) -> Reader | None:
    """Return the reader through a type's exchange table, None if it has none."""
    try:
        return _exchange_readers[kind]
    except KeyError:
        pass
    table = getattr(kind, "__dlpack_c_exchange_api__", None)
    reader = None
    if table is not None:
        # A torch subclass is read as torch, whatever module it lives in.
        library = "torch" if hasattr(kind, "requires_grad") else _library_of(kind)
        exchange = _abi_dlpack.exchange_table(table)
        reader = _make(ObjectKind.EXCHANGE, library, None, exchange=exchange)
    # Of threads that come here at once the first one's stays: its address may be in use already.
    return _exchange_readers.setdefault(kind, reader)


def reader_of(array: Any, name: str) -> Reader:
    """Return how an array is handed to the C side.

    Parameters
    ----------
    array : array
        Of NumPy, PyTorch, JAX, CuPy, or anything with ``__dlpack__``.
    name : str
        Of the argument, for the refusal.

    Raises
    ------
    InvalidArgumentError
        If it is no array.
    """
    reader = _exchange_readers.get(type(array))
    if reader is not None:
        return reader
    if isinstance(array, np.ndarray):
        return _numpy_readers.get(array.dtype) or _numpy_reader(array.dtype)
    reader = _exchange_reader(type(array))
    if reader is not None:
        return reader
    if not hasattr(array, "__dlpack__"):
        raise InvalidArgumentError(
            f"{name} is of type {type(array).__name__}; it must be an array with __dlpack__"
        )
    library = _library_of(type(array))
    found = _capsule_readers.get(library)
    if found is None:
        # jaxlib's array type reports the module of the wheel it was built in.
        known = "jax" if library == "jaxlib" else library
        made = _make(ObjectKind.CAPSULE, known, _dlpack_capsule)
        found = _capsule_readers.setdefault(library, made)
    return found


def refuse_strange_torch(array: Any, name: str) -> None:
    """Refuse a torch tensor whose memory is not its value, or that records gradients.

    The exchange table hands some of them out without a word.
    """
    torch = sys.modules["torch"]
    if array.layout is not torch.strided:
        raise InvalidArgumentError(f"{name} has the layout {array.layout}; it must be strided")
    subclass = type(array) is not torch.Tensor  # as the fake ones are
    if array.is_meta or (subclass and isinstance(array, _fake_tensors())):
        raise InvalidArgumentError(f"{name} is a meta or fake tensor; it has no memory to read")
    if array.is_neg() or array.is_conj():
        raise InvalidArgumentError(
            f"{name} is a lazily negated or conjugated view; pass {name}.resolve_neg()"
        )
    if array.requires_grad and torch.is_grad_enabled():
        raise InvalidArgumentError(
            f"{name} requires grad; there is no backward pass: "
            f"call it under torch.no_grad() or pass {name}.detach()"
        )


def describe(array: Any, name: str = "array") -> Tensor:
    """Read pointer, shape, strides, dtype and device of any library's array.

    Parameters
    ----------
    array : array
        Of NumPy, PyTorch, JAX, CuPy, or anything with ``__dlpack__``.
    name : str
        Of the argument, for refusals.

    Raises
    ------
    InvalidArgumentError
        If it is no array, or a torch tensor that requires grad.
    """
    reader = reader_of(array, name)
    if reader.library == "torch":
        refuse_strange_torch(array, name)
    passed = array if reader.prepare is None else reader.prepare(array, 0)
    source = _abi_dlpack.CObject(reader=reader.address, object=id(passed))
    target = _abi.sized(_abi_dlpack.CArray)
    status = _abi_dlpack.read_object(_abi.address(source), name.encode(), _abi.address(target))
    _abi.check(status)
    on_cpu = target.device_type in _CPU_DEVICES
    return Tensor(
        pointer=target.data or 0,
        shape=tuple(target.shape[: target.ndim]),
        strides=tuple(target.strides[: target.ndim]),
        dtype=DType(target.dtype) if target.dtype else None,
        device="cpu" if on_cpu else f"cuda:{target.device_id}",
        readonly=bool(target.readonly),
        owner=array,
    )
