"""Where the arrays of one run are."""

from __future__ import annotations

from typing import Any

import numpy as np

from flashdec import _abi
from flashdec._abi_dlpack import OPERANDS, args_from_objects
from flashdec._call import UNKNOWN, Call
from flashdec._enums import Axes
from flashdec.errors import InvalidArgumentError
from flashdec.stream import WITH_STREAMS
from flashdec.tensor import Reader, reader_of, refuse_strange_torch

__all__ = ["Args", "PointerArgs"]

_OUTPUTS = ("o", "lse", "status")
_KV_LEN = OPERANDS.index("kv_len")


def as_axes(layout: str) -> Axes:
    """Turn ``"bshd"`` or ``"bhsd"`` into an `Axes`."""
    try:
        return Axes[layout.upper()]
    except (KeyError, AttributeError):
        raise InvalidArgumentError(f'layout is {layout!r}; it must be "bshd" or "bhsd"') from None


def _operand(index: int) -> Any:
    name = OPERANDS[index]

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
    An `Args` belongs to one thread at a time, and keeps the plan and the workspace of its last run.

    Parameters
    ----------
    q : array ``[batch, q_heads, head_dim]``
        Queries.
    k, v : array ``[batch, capacity, kv_heads, head_dim]``
        The cache; with ``layout="bhsd"`` heads come before tokens.  With pages
        ``[num_pages, page_size, kv_heads, head_dim]``, or heads before tokens.
    o : array ``[batch, q_heads, head_dim_v]``
        Written; of the dtype of q.  Outputs must not overlap inputs, which is not checked.
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
    base2 : bool
        Whether lse is a logarithm to the base 2.

    Raises
    ------
    InvalidArgumentError
        If something is no array, or a torch tensor that requires grad.
    """

    __slots__ = ("_arrays", "_call", "_entries", "_objects", "_read")

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
        base2: bool = False,
    ) -> None:
        self._arrays: list[Any] = [None] * len(OPERANDS)
        self._read: list[Any] = [None] * len(OPERANDS)  # what C reads of them, kept alive
        self._call = Call(as_axes(layout))
        self._objects = self._call.objects
        self._call.set_flag(_abi.ARGS_BASE2, base2)
        self._entries = list(self._objects.operands)
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
            _abi.set_field(self._objects, "uniform_kv_len", int(value))
            self._call.set_flag(_abi.ARGS_UNIFORM_KV_LEN, True)
            self._fill(index, value, None, None)
            return
        if value is None:
            self._fill(index, None, None, None)
        else:
            name = OPERANDS[index]
            reader = reader_of(value, name)
            library = reader.library
            if library == "torch":
                refuse_strange_torch(value, name)
            elif library == "jax" and name in _OUTPUTS:
                raise InvalidArgumentError(
                    f"{name} is a JAX array, which never changes; outputs must be writable"
                )
            passed = value if reader.prepare is None else reader.prepare(value, 0)
            self._fill(index, value, reader, passed)
            if index == 0:
                asked = reader.prepare is not None and library in WITH_STREAMS
                self._call.asked = library if asked else ""
                self._call.stream = UNKNOWN
        if index == _KV_LEN:
            self._call.set_flag(_abi.ARGS_UNIFORM_KV_LEN, False)
            self._objects.uniform_kv_len = 0

    def _fill(self, index: int, value: Any, reader: Reader | None, passed: Any) -> None:
        entry = self._entries[index]
        entry.reader = None if reader is None else reader.address
        entry.object = None if passed is None else id(passed)
        self._arrays[index] = value
        self._read[index] = passed

    def _fix(self, struct: Any) -> PointerArgs:
        """Return pointers as `bind` has read them, for the same current streams."""
        fixed = PointerArgs()
        fixed._take(struct, self._read, self._call)
        return fixed

    def bind(self, plan: int) -> tuple[int, Any]:
        """Read and check the arrays against the plan at an address: status and ``CArgs``."""
        objects, args = self._objects, _abi.sized(_abi.CArgs)
        args.flags, args.uniform_kv_len = objects.flags, objects.uniform_kv_len
        operands, target = _abi.address(objects.operands), _abi.address(args)
        return args_from_objects(plan, objects.axes, operands, target, None), args


class PointerArgs:
    """Raw pointers and strides of one run: ``flashdec_args``, for engines without arrays.

    Every field of the C struct but ``struct_size`` is a keyword and an attribute; those not given
    are 0.  Pointers are addresses (int), strides count elements.  What they point to is not kept
    alive, unless `Plan.bind` has made them; the plan and the workspace of the last run are.

    Raises
    ------
    InvalidArgumentError
        If a field does not exist or a value does not fit it.
    """

    __slots__ = ("_call", "_kept", "_struct")
    _call: Call
    _kept: Any  # the arrays that the pointers are of
    _struct: Any

    def __init__(self, **fields: int) -> None:
        struct = _abi.sized(_abi.CArgs)
        object.__setattr__(self, "_struct", struct)
        object.__setattr__(self, "_call", Call(struct=struct))
        for name, value in fields.items():
            setattr(self, name, value)

    def _take(self, struct: Any, arrays: list[Any], call: Call) -> None:
        """Point where `struct` does, and ask for streams as `call` does."""
        for name in _FIELDS:
            setattr(self._struct, name, getattr(struct, name))
        self._call.ask(call.objects.operands[0].reader)
        self._call.asked = call.asked
        object.__setattr__(self, "_kept", tuple(arrays))

    def __getattr__(self, name: str) -> int:
        if name.startswith("_") or name not in _FIELDS:
            raise AttributeError(name)
        return getattr(self._struct, name) or 0

    def __setattr__(self, name: str, value: int) -> None:
        if name not in _FIELDS:
            raise InvalidArgumentError(f"{name} is no field of flashdec_args")
        _abi.set_field(self._struct, name, value)
        if name == "flags":
            self._call.plan = None  # the next run sets its own again

    @staticmethod
    def field_names() -> list[str]:
        """Return the names of the fields, in the order of the C struct."""
        return [name for name in _abi.field_names(_abi.CArgs) if name in _FIELDS]

    def bind(self, plan: int) -> tuple[int, Any]:
        """Return success and the ``CArgs``, which is already filled."""
        return 0, self._struct


_FIELDS = frozenset(_abi.field_names(_abi.CArgs)) - {"struct_size"}
