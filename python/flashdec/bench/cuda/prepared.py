"""What a contender hands to the timing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

__all__ = ["Prepared"]


@dataclass(frozen=True, slots=True)
class Prepared:
    """A planned computation.

    Attributes
    ----------
    run : callable
        ``run(i)`` enqueues the computation over copy ``i`` of the cache on the current stream and
        returns the output, of as many elements as q.
    note : str
        What was planned, for people.
    """

    run: Callable[[int], Any]
    note: str = ""
