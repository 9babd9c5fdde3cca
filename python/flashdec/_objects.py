"""Arrays of any library into the operands of a C structure."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

from flashdec.errors import InvalidArgumentError
from flashdec.stream import WITH_STREAMS, stream_address
from flashdec.tensor import describe, reader_of, refuse_strange_torch

__all__ = ["fill_operands", "stream_for"]


def fill_operands(
    operands: Any, arrays: Iterable[tuple[str, Any]], written: Collection[str]
) -> list[Any]:
    """Fill the operands of a call in their order; None stays absent.

    Parameters
    ----------
    operands : array of flashdec_object
        Zeroed.
    arrays : iterable of (name, array)
        Names are those of the arguments, for refusals.
    written : collection of str
        Names of outputs.

    Returns
    -------
    kept : list
        What C reads; alive until it has.

    Raises
    ------
    InvalidArgumentError
        If something is no array, or one whose memory is not its value.
    """
    kept = []
    for entry, (name, array) in zip(operands, arrays, strict=True):
        if array is None:
            continue
        reader = reader_of(array, name)
        if reader.library == "torch":
            refuse_strange_torch(array, name)
        elif reader.library == "jax" and name in written:
            raise InvalidArgumentError(f"{name} is read-only; it is written")
        passed = array if reader.prepare is None else reader.prepare(array, 0)
        entry.reader, entry.object = reader.address, id(passed)
        kept.append(passed)
    return kept


def stream_for(array: Any, name: str, stream: Any) -> int | None:
    """Return the stream of a call; None where C asks the array's library for the current one."""
    reader = reader_of(array, name)
    if stream is None and (reader.library not in WITH_STREAMS or reader.prepare is None):
        return None
    return stream_address(stream, describe(array, name).device, reader.library)
