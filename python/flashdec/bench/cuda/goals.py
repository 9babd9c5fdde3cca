"""How fast a line ought to be: a table of limits beside what reading its bytes takes."""

from __future__ import annotations

from dataclasses import dataclass

from flashdec.bench.cuda.lines import Line

__all__ = ["INVARIANT_GOAL", "ON_DEVICE_US", "RULES", "Rule", "goal_us", "invariant_goal_us"]

ON_DEVICE_US = 0.7
"""Microseconds more that lengths on the device may cost a cache without pages."""

INVARIANT_GOAL = "6 % or 2.5 µs more than flashdec's default, whichever is more"
"""What batch-invariant mode may take, for people."""

_LIMITS_ARE_OF = "H100"


@dataclass(frozen=True, slots=True)
class Rule:
    """``max(read * linear, read_pages * in_pages) + more``, in microseconds.

    Attributes
    ----------
    linear, in_pages : float
        Multiples of the plain read, and of the read in the order of the page table.
    more : float
        What starting, merging and combining may take.
    about : str
        The formula, for people.
    """

    linear: float
    in_pages: float
    more: float
    about: str


RULES: dict[str, Rule | None] = {
    "dense": Rule(1.005, 0.0, 2.8, "read * 1.005 + 2.8 µs"),
    "paged": Rule(1.0, 1.01, 2.8, "the larger of read and read_pages * 1.01, + 2.8 µs"),
    "offgrid": Rule(1.07, 0.0, 2.8, "read * 1.07 + 2.8 µs"),
    "reported": None,
}


def goal_us(line: Line, read_us: float, read_pages_us: float | None, device: str) -> float | None:
    """Return the goal of a line in microseconds; None where it has none.

    Parameters
    ----------
    line : Line
        Whose goal.
    read_us, read_pages_us : float, float or None
        What reading its bytes takes, in their order and in that of the page table.
    device : str
        The GPU's name: limits in microseconds are those of an H100.
    """
    if line.limit_us is not None and _LIMITS_ARE_OF in device:
        return line.limit_us
    rule = RULES[line.rule]
    if rule is None:
        return None
    return max(read_us * rule.linear, (read_pages_us or 0.0) * rule.in_pages) + rule.more


def invariant_goal_us(default_us: float) -> float:
    """Return what batch-invariant mode may take, in microseconds, beside flashdec's default."""
    return max(default_us * 1.06, default_us + 2.5)
