"""Where the arrays of one run are."""

from __future__ import annotations

from typing import Any

import numpy as np

from flashdec import _abi
from flashdec._abi import Axes
from flashdec.errors import InvalidArgumentError
from flashdec.tensor import reader_of, refuse_strange_torch

__all__ = ["Args", "PointerArgs"]

_read = _abi.args_from_objects
_OUTPUTS = ("o", "lse", "status")
_KV_LEN = _abi.OPERANDS.index("kv_len")


def as_axes(layout: str) -> Axes:
    """Turn ``"bshd"`` or ``"bhsd"`` into an `Axes`."""
    try:
        return Axes[layout.upper()]
    except (KeyError, AttributeError):
        raise InvalidArgumentError(f'layout is {layout!r}; it must be "bshd" or "bhsd"') from None


def _operand(index: int) -> Any:
    name = _abi.OPERANDS[index]

    def get(self: Args) -> Any:
        return self._arrays[index]

    def set_(self: Args, value: Any) -> None:
        self._assign(index, value)

    return property(get, set_, doc=f"The {name} array; assign another one to swap it.")


class Args:
    """The arrays of one run, of NumPy, PyTorch, JAX, CuPy or anything with DLPack.

    Reusable: assign another array to an attribute to swap it.  Arrays are read when they are
    assigned, PyTorch tensors again at every run; they are checked against the plan at every run.
    So assign a NumPy array again if you change its flags.
    An `Args` belongs to one thread at a time.

    Parameters
    ----------
    q : array ``[batch, q_heads, head_dim]``
        Queries.
    k, v : array ``[batch, capacity, kv_heads, head_dim]``
        The cache; with ``layout="bhsd"`` heads come before tokens.  With pages
        ``[num_pages, page_size, kv_heads, head_dim]``, or heads before tokens.
    o : array ``[batch, q_heads, head_dim_v]``
        Written; of the dtype of q.
    lse : array ``[batch, q_heads]``, optional
        Written: float32, natural logarithm of the sum of exponentials.
    kv_len : int32 array ``[batch]`` or int, optional
        Lengths in tokens, where the plan runs, or one length for all; None means max_kv_len.
    page_table : int32 array ``[batch, >= ceil(max_kv_len / page_size)]``, optional
        Ids of pages; required with pages.
    status : uint32 or int32 array ``[1]``, optional
        Run-time faults are OR-ed into it; see `flashdec.Fault`.
    layout : {"bshd", "bhsd"}
        The order of the axes of k and v.

    Raises
    ------
    InvalidArgumentError
        If something is no array, or a torch tensor that requires grad.
    """

    __slots__ = (
        "_address",
        "_arrays",
        "_axes",
        "_entries",
        "_library",
        "_slots",
        "_slots_address",
        "_stream",
        "_stream_address",
        "_struct",
        "_tells_stream",
    )

    def __init__(
        self,
        *,
        q: Any,
        k: Any,
        v: Any,
        o: Any,
        lse: Any = None,
        kv_len: Any = None,
        page_table: Any = None,
        status: Any = None,
        layout: str = "bshd",
    ) -> None:
        self._axes = as_axes(layout)
        self._arrays: list[Any] = [None] * len(_abi.OPERANDS)
        self._slots = _abi.OBJECT_SLOTS()
        self._entries = [self._slots[i] for i in range(len(_abi.OPERANDS))]
        self._slots_address = _abi.address(self._slots)
        self._struct = _abi.sized(_abi.CArgs)
        self._address = _abi.address(self._struct)
        self._stream = _abi.new_pointer()
        self._stream_address = _abi.address(self._stream)
        self._library = ""
        self._tells_stream = False
        for index, value in enumerate((q, k, v, o, lse, kv_len, page_table, status)):
            self._assign(index, value)

    q = _operand(0)
    k = _operand(1)
    v = _operand(2)
    o = _operand(3)
    lse = _operand(4)
    kv_len = _operand(5)
    page_table = _operand(6)
    status = _operand(7)

    def _assign(self, index: int, value: Any) -> None:
        if index == _KV_LEN and isinstance(value, (int, np.integer)):
            _abi.set_field(self._struct, "uniform_kv_len", int(value))
            self._struct.flags = _abi.ARGS_UNIFORM_KV_LEN
            self._fill(index, value, None, _abi.no_object())
            return
        if value is None:
            self._fill(index, None, None, _abi.no_object())
        else:
            name = _abi.OPERANDS[index]
            reader = reader_of(value, name)
            if reader.library == "torch":
                refuse_strange_torch(value, name)
            if reader.library == "jax" and name in _OUTPUTS:
                raise InvalidArgumentError(
                    f"{name} is a JAX array, which never changes; outputs must be writable"
                )
            passed = value if reader.prepare is None else reader.prepare(value, 0)
            self._fill(index, value, reader.address, passed)
            if index == 0:
                self._library = reader.library
                self._tells_stream = reader.prepare is None
        if index == _KV_LEN:
            self._struct.flags = self._struct.uniform_kv_len = 0

    def _fill(self, index: int, value: Any, reader: int | None, passed: Any) -> None:
        self._arrays[index] = value
        entry = self._entries[index]
        entry.reader = reader
        entry.object = passed

    def bind(self, plan: int) -> int:
        """Read and check the arrays against the plan at an address; return the status."""
        status: int = _read(
            plan, self._axes, self._slots_address, self._address, self._stream_address
        )
        return status


class PointerArgs:
    """Raw pointers and strides of one run: ``flashdec_args``, for engines without arrays.

    Every field of the C struct but ``struct_size`` is a keyword and an attribute; those not given
    are 0.  Pointers are addresses (int), strides count elements.  Nothing is kept alive.

    Raises
    ------
    InvalidArgumentError
        If a field does not exist or a value does not fit it.
    """

    __slots__ = ("_address", "_struct")
    _library = ""
    _tells_stream = False

    def __init__(self, **fields: int) -> None:
        object.__setattr__(self, "_struct", _abi.sized(_abi.CArgs))
        object.__setattr__(self, "_address", _abi.address(self._struct))
        for name, value in fields.items():
            setattr(self, name, value)

    def __getattr__(self, name: str) -> int:
        if name.startswith("_") or name not in _FIELDS:
            raise AttributeError(name)
        return getattr(self._struct, name) or 0

    def __setattr__(self, name: str, value: int) -> None:
        if name not in _FIELDS:
            raise InvalidArgumentError(f"{name} is no field of flashdec_args")
        _abi.set_field(self._struct, name, value)

    @staticmethod
    def field_names() -> list[str]:
        """Return the names of the fields, in the order of the C struct."""
        return [name for name in _abi.field_names(_abi.CArgs) if name in _FIELDS]

    def bind(self, plan: int) -> int:
        """Do nothing: the struct is already filled."""
        return 0


_FIELDS = frozenset(_abi.field_names(_abi.CArgs)) - {"struct_size"}
