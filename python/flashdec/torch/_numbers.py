"""Numbers of sequences and tokens that callers give."""

from __future__ import annotations

import operator
from collections.abc import Iterable
from typing import Any

from flashdec.errors import InvalidArgumentError

__all__ = ["counts_of", "sequences_of", "whole"]


def whole(number: Any) -> int:
    """Return a whole number, or refuse."""
    try:
        return operator.index(number)
    except TypeError:
        raise InvalidArgumentError(f"{number!r} is no whole number") from None


def _list_of(numbers: Any) -> list[int]:
    return [whole(number) for number in numbers] if isinstance(numbers, Iterable) else []


def counts_of(tokens: Any, batch: int) -> list[int]:
    """Return one number of tokens for each sequence, from one for all or one for each."""
    counts = _list_of(tokens) or [whole(tokens)] * batch
    if len(counts) != batch or min(counts) < 0:
        raise InvalidArgumentError(
            f"tokens is {tokens}; it must have one number of 0 or more for each of the {batch} "
            "sequences"
        )
    return counts


def sequences_of(numbers: Any, batch: int) -> list[int]:
    """Return numbers of sequences that are there."""
    sequences = _list_of(numbers) if isinstance(numbers, Iterable) else [whole(numbers)]
    for sequence in sequences:
        if not 0 <= sequence < batch:
            raise InvalidArgumentError(
                f"sequence {sequence} is not there; they are numbered 0 to {batch - 1}"
            )
    return sequences
