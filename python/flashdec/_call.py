"""What a run takes beside its arrays, remembered from one run to the next."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flashdec import _abi, _abi_dlpack
from flashdec._enums import Axes

__all__ = ["UNKNOWN", "Call"]

UNKNOWN = object()  # the stream has to be found out at the next run, whichever is given


class Call:
    """A ``flashdec_objects`` that is filled once, and what its fields come from.

    Python brings the C struct up to date where something changes, and not at every run.

    Parameters
    ----------
    axes : Axes, optional
        Of k and v, where the operands are arrays.
    struct : CArgs, optional
        Takes the place of the operands.
    """

    __slots__ = ("_flagged", "asked", "objects", "plan", "run", "stream", "workspace")

    objects: Any
    run: Callable[[], int]  # returns the status
    plan: Any  # of the last run, None if there is none
    workspace: Any
    stream: Any
    asked: str  # the library whose current stream C cannot ask for

    def __init__(self, axes: Axes | None = None, struct: Any = None) -> None:
        self.objects = _abi_dlpack.make_objects(axes)
        self.objects.args = None if struct is None else _abi.address(struct)
        self._flagged = self.objects if struct is None else struct
        self.run = _abi_dlpack.make_run(self.objects)
        self.plan = self.workspace = None
        self.stream = UNKNOWN
        self.asked = ""

    def ask(self, reader: Any) -> None:
        """Without a stream, run on the current one of the library that this reader is of."""
        self.objects.operands[0].reader = reader

    def set_flag(self, bit: int, on: bool) -> None:
        """Set or clear a flag of the run."""
        flags = self._flagged.flags
        self._flagged.flags = flags | bit if on else flags & ~bit

    def use(self, plan: Any, workspace: Any) -> None:
        """Run with these from now on."""
        objects = self.objects
        objects.plan = plan._address
        objects.workspace = None if workspace is None else workspace.pointer
        objects.workspace_bytes = 0 if workspace is None else workspace.nbytes
        prepared = workspace is not None and workspace.prepared
        self.set_flag(_abi.ARGS_PREPARED_WORKSPACE, prepared)
        self.plan, self.workspace, self.stream = plan, workspace, UNKNOWN

    def use_stream(self, given: Any, address: int) -> None:
        """Run there the next time; 0: where C finds out."""
        self.objects.stream = address
        # An int is the same stream whenever it is given again; a stream object need not be.
        same = type(given) is int or (given is None and not self.asked)
        self.stream = given if same else UNKNOWN
