"""Scratch memory of a run."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from flashdec import _abi, _allocate
from flashdec.errors import InvalidArgumentError
from flashdec.stream import stream_address, stream_pointer
from flashdec.tensor import describe, reader_of

if TYPE_CHECKING:
    from flashdec.plan import Plan

__all__ = ["ALIGNMENT", "Workspace"]

ALIGNMENT = 256
"""Bytes; the alignment of every workspace."""


@dataclass(frozen=True, slots=True)
class Workspace:
    """Scratch memory of a run, aligned, in the memory of the plan's device.

    It may serve any plan that needs no more bytes, one run at a time.  It needs no initialisation,
    but a prepared one lets a run on a GPU exchange its partial results within one launch, which
    saves 1 to 6 microseconds; the results are the same bits.  Whoever writes to its memory, or
    aborts a run, prepares it again.

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
    prepared : bool
        Whether `prepare` made it.
    """

    pointer: int
    nbytes: int
    device: str
    owner: Any = field(repr=False, default=None)
    prepared: bool = False

    @classmethod
    def allocate(cls, plan: Plan, like: Any = None, *, prepared: bool = True) -> Workspace | None:
        """Allocate what a plan needs, prepared; None where it needs nothing.

        Like memory that PyTorch allocates, it belongs to the current stream of the library: other
        streams may use it after what that stream holds now.

        Parameters
        ----------
        plan : Plan
            The plan.
        like : array, optional
            Any array of the library to allocate with (PyTorch, CuPy, JAX) and on its device.
            Without it: NumPy for a CPU plan, CUDA Python for a CUDA plan.
        prepared : bool
            False leaves it as it comes: a run then takes a second launch instead.

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
        made = cls.from_array(_allocate.device_bytes(nbytes, plan.device, like))
        if not prepared or plan.info.launches > 1:
            return made  # a run of two launches in any case would only have to restore it
        library = "" if like is None else reader_of(like, "like").library
        return made.prepare(plan, stream_address(None, plan.device, library))

    def prepare(self, plan: Plan, stream: Any = None) -> Workspace:
        """Fill the memory on a stream and return it as a prepared workspace.

        Parameters
        ----------
        plan : Plan
            Any plan of the device; it needs no more bytes than there are.
        stream : stream object or int, optional
            CUDA: where the fill is enqueued; None is the default stream.
        """
        handle = None if stream is None else stream_pointer(stream)
        _abi.check(_abi.workspace_prepare(plan._address, self.pointer, self.nbytes, handle))
        return replace(self, prepared=True)

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
