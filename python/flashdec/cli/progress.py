"""Progress on standard error: a bar on a terminal, nothing elsewhere."""

from __future__ import annotations

import shutil
import sys
from time import perf_counter
from types import TracebackType
from typing import TextIO

__all__ = ["Progress"]

_WIDTH = 30
_PAUSE = 0.05  # seconds between two drawings


class Progress:
    """A bar for a known number of steps, as a context manager.

    Parameters
    ----------
    what : str
        What is being done, for people.
    total : int
        Steps in all.
    stream : text file, optional
        Where to draw; standard error.
    """

    def __init__(self, what: str, total: int, stream: TextIO | None = None) -> None:
        self._what = what
        self._total = max(total, 1)
        self._done = 0
        self._stream = stream or sys.stderr
        self._live = self._stream.isatty()
        self._drawn = 0.0

    def __enter__(self) -> Progress:
        self._draw()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.clear()

    def advance(self, what: str | None = None, steps: int = 1) -> None:
        """Count steps, and perhaps say anew what is being done."""
        self._done += steps
        self._what = what if what is not None else self._what
        if perf_counter() - self._drawn >= _PAUSE:
            self._draw()

    def reach(self, done: int) -> None:
        """Set the number of steps that are done: a task took fewer than were planned."""
        self._done = done
        self._draw()

    def clear(self) -> None:
        """Take the bar away, so that a line can be printed in its place."""
        if self._live:
            self._write("\r\x1b[K")

    def _draw(self) -> None:
        if not self._live:
            return
        self._drawn = perf_counter()
        share = min(self._done / self._total, 1.0)
        full = round(share * _WIDTH)
        text = f"[{'#' * full}{'.' * (_WIDTH - full)}] {share:4.0%} {self._what}"
        # A line that wraps could not be drawn over again.
        self._write("\r\x1b[K" + text[: shutil.get_terminal_size().columns - 1])

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()
