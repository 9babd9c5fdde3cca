"""What `Plan.select` may choose."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from flashdec import _abi
from flashdec._enums import Backend
from flashdec.errors import InvalidArgumentError

__all__ = ["PlanPreference"]


@dataclass(frozen=True, slots=True)
class PlanPreference:
    """What `Plan.select` may choose: ``flashdec_preference``.

    Parameters
    ----------
    max_workspace_bytes : int, optional
        Fewer splits are chosen, down to one, to stay within; 0 forbids a workspace, None is no
        limit (in C, 0 is no limit and a flag forbids).
    allow_sm90a : bool
        Whether kernels that need the sm_90a target may be chosen.
    prefer_backend : {"any", "cpu", "cuda"} or Backend
        "any" is CUDA where there is a usable GPU and else the CPU; the others are binding.
    batch_invariant : bool
        Whether a sequence's bits may depend on its own q, k, v and length, and on the plan's
        split_len, only.
    split_len : int
        Tokens in a split, rounded up to the kernel's tile; 0 leaves it to the schedule.
    num_threads : int
        CPU: threads that take part, 1 to 1024; 0 means ``FLASHDEC_NUM_THREADS`` or else the
        processors this thread may run on.
    """

    max_workspace_bytes: int | None = None
    allow_sm90a: bool = True
    prefer_backend: str | Backend = "any"
    batch_invariant: bool = False
    split_len: int = 0
    num_threads: int = 0

    @property
    def flags(self) -> int:
        """The ``FLASHDEC_PREFER_*`` bits."""
        return (
            (_abi.PREFER_BATCH_INVARIANT if self.batch_invariant else 0)
            | (0 if self.allow_sm90a else _abi.PREFER_NO_SM90A)
            | (_abi.PREFER_NO_WORKSPACE if self.max_workspace_bytes == 0 else 0)
        )

    def to_c(self) -> Any:
        """Return the ``flashdec_preference``."""
        structure = _abi.sized(_abi.CPreference)
        _abi.set_field(structure, "prefer_backend", as_backend(self.prefer_backend))
        _abi.set_field(structure, "flags", self.flags)
        _abi.set_field(structure, "max_workspace_bytes", self.max_workspace_bytes or 0)
        _abi.set_field(structure, "split_len", self.split_len)
        _abi.set_field(structure, "num_threads", self.num_threads)
        return structure


def as_backend(value: str | Backend) -> Backend:
    """Turn a backend's name into a `Backend`."""
    if isinstance(value, Backend):
        return value
    try:
        return Backend[value.upper()]
    except (KeyError, AttributeError):
        raise InvalidArgumentError(
            f'prefer_backend is {value!r}; it must be "any", "cpu" or "cuda"'
        ) from None
