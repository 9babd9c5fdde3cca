"""What a plan says of itself, and of arguments."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["PlanInfo", "Support"]


@dataclass(frozen=True, slots=True)
class Support:
    """Whether a plan can run some arguments; false in a condition if not.

    Attributes
    ----------
    ok : bool
        Whether it can.
    reason : str
        Why not, one sentence; empty if it can.
    """

    ok: bool
    reason: str = ""

    def __bool__(self) -> bool:
        return self.ok


@dataclass(frozen=True, slots=True)
class PlanInfo:
    """What a plan decided: ``flashdec_plan_facts``.

    Attributes
    ----------
    kernel : int
        Row of the kernel table.
    num_threads : int
        CPU: the most threads that take part.
    launches : int
        CUDA: kernels that a run enqueues.
    max_splits : int
        Splits of a sequence of max_kv_len tokens, at most.
    split_len : int
        Tokens in a split; 0: the kernel cuts by the lengths that it finds.
    tile : int
        Tokens that the kernel takes at a time.
    """

    kernel: int
    num_threads: int
    launches: int
    max_splits: int
    split_len: int
    tile: int
