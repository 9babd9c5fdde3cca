"""Progress on standard error: a bar on a terminal, one plain line per stage elsewhere."""

from __future__ import annotations

import shutil
import sys
from time import perf_counter
from types import TracebackType
from typing import TextIO

_WIDTH = 30
# A terminal is written to at most this often, in seconds.
_PAUSE = 0.05


class Progress:
    """A stage, as a context manager. Call it with the number of units just done.

    Parameters
    ----------
    stage
        What is being done, for people.
    total
        Units in all; None where they are not known, and there is no bar.
    """

    def __init__(self, stage: str, total: int | None = None, stream: TextIO | None = None) -> None:
        self._stage = stage
        self._total = total
        self._done = 0
        self._stream = stream or sys.stderr
        self._live = self._stream.isatty()
        self._start = self._drawn = perf_counter()

    def __enter__(self) -> Progress:
        self._draw()
        return self

    def __call__(self, units: int) -> None:
        """Count ``units`` more."""
        self._done += units
        if perf_counter() - self._drawn >= _PAUSE:
            self._draw()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._live:
            self._write("\r\x1b[K")
        if error is None:
            self._write(f"{self._stage} ({perf_counter() - self._start:.1f} s)\n")

    def _draw(self) -> None:
        if not self._live:
            return
        self._drawn = perf_counter()
        text = self._stage
        if self._total:
            share = min(self._done / self._total, 1.0)
            full = round(share * _WIDTH)
            text = f"[{'#' * full}{' ' * (_WIDTH - full)}] {share:4.0%} {text}"
        # A line that wraps could not be drawn over again.
        self._write("\r" + text[: shutil.get_terminal_size().columns - 1])

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()
