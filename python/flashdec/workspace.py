"""Scratch memory of a run."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from flashdec import _abi, _allocate
from flashdec.errors import InvalidArgumentError
from flashdec.tensor import describe

if TYPE_CHECKING:
    from flashdec.plan import Plan

__all__ = ["ALIGNMENT", "Workspace"]

ALIGNMENT = 256
"""Bytes; the alignment of every workspace."""


@dataclass(frozen=True, slots=True)
class Workspace:
    """Scratch memory of a run, aligned, in the memory of the plan's device.

    It needs no initialisation.  It may serve any plan that needs no more bytes, one run at a time.

    Attributes
    ----------
    pointer : int
        Address, a multiple of 256.
    nbytes : int
        Bytes from there.
    device : str
        "cpu" or "cuda:N".
    owner : object
        What keeps the memory alive.
    """

    pointer: int
    nbytes: int
    device: str
    owner: Any = field(repr=False, default=None)
    _scratch: Any = field(init=False, repr=False, compare=False)
    _size: Any = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Make the arguments of a run once."""
        object.__setattr__(self, "_scratch", _abi.pointer(self.pointer))
        object.__setattr__(self, "_size", _abi.size(self.nbytes))

    @classmethod
    def allocate(cls, plan: Plan, like: Any = None) -> Workspace | None:
        """Allocate what a plan needs; None where it needs nothing.

        Parameters
        ----------
        plan : Plan
            The plan.
        like : array, optional
            Any array of the library to allocate with (PyTorch, CuPy, JAX) and on its device.
            Without it: NumPy for a CPU plan, CUDA Python for a CUDA plan.

        Raises
        ------
        InvalidArgumentError
            If no library is there to allocate device memory with.
        """
        if plan.workspace_size == 0:
            return None
        nbytes = plan.workspace_size + ALIGNMENT
        if plan.device == "cpu":
            return cls.from_array(_allocate.host_bytes(nbytes))
        return cls.from_array(_allocate.device_bytes(nbytes, plan.device, like))

    @classmethod
    def from_array(cls, array: Any) -> Workspace:
        """Use the aligned part of a packed array of any dtype and library.

        Raises
        ------
        InvalidArgumentError
            If it is read-only, not packed, or smaller than its first aligned byte.
        """
        tensor = describe(array, "workspace")
        packed = 1
        for extent, stride in zip(reversed(tensor.shape), reversed(tensor.strides), strict=True):
            if extent > 1 and stride != packed:
                raise InvalidArgumentError(
                    f"workspace has strides {tensor.strides}; it must be packed"
                )
            packed *= extent
        if tensor.readonly:
            raise InvalidArgumentError("workspace is read-only; it must be writable")
        nbytes = packed * _allocate.itemsize(array)
        skipped = -tensor.pointer % ALIGNMENT
        if tensor.pointer == 0 or nbytes <= skipped:
            raise InvalidArgumentError(
                f"workspace has {nbytes} bytes; it must reach beyond its first multiple of "
                f"{ALIGNMENT} bytes"
            )
        return cls(tensor.pointer + skipped, nbytes - skipped, tensor.device, array)
