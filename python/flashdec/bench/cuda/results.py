"""What came of a line."""

from __future__ import annotations

from dataclasses import dataclass, field
from statistics import median

from flashdec.bench.cuda.lines import Line

__all__ = ["DEFAULT", "LineResult", "Row"]

DEFAULT = "flashdec"
"""The row of flashdec that others of its rows are compared with."""


@dataclass(frozen=True, slots=True)
class Row:
    """What one contender took for a line, or why it did not.

    Attributes
    ----------
    name, about : str
        Of the contender, or of a read.
    kind : {"read", "ours", "peer"}
        What it is.
    samples_us : tuple of float
        Microseconds of a launch, one per replay; empty if it failed.
    error : float, optional
        Largest error against float64 as a fraction of the bound that flashdec promises.
    goal_us : float, optional
        What it ought to take at most.
    note : str
        What was planned.
    failure : str
        Why there are no samples.
    """

    name: str
    about: str
    kind: str
    samples_us: tuple[float, ...] = ()
    error: float | None = None
    goal_us: float | None = None
    note: str = ""
    failure: str = ""

    @property
    def us(self) -> float:
        """The median time, in microseconds."""
        return median(self.samples_us)

    @property
    def within_goal(self) -> bool | None:
        """Whether it is within its goal; None without a goal or a time."""
        if self.goal_us is None or not self.samples_us:
            return None
        return self.us <= self.goal_us


@dataclass(frozen=True, slots=True)
class LineResult:
    """What a line took.

    Attributes
    ----------
    line : Line
        Which.
    copies : int
        Of the cache, in rotation.
    rows : tuple of Row
        The reads, flashdec, then peers.
    left_out : dict
        Why a contender was not tried, by name.
    failure : str
        Why there are no rows at all.
    """

    line: Line
    copies: int
    rows: tuple[Row, ...] = ()
    left_out: dict[str, str] = field(default_factory=dict)
    failure: str = ""

    def us_of(self, name: str) -> float | None:
        """Return the median time of a row, None if it has none."""
        found = next((row for row in self.rows if row.name == name and row.samples_us), None)
        return None if found is None else found.us

    @property
    def fastest_peer(self) -> Row | None:
        """The fastest of the other libraries, if one ran."""
        peers = [row for row in self.rows if row.kind == "peer" and row.samples_us]
        return min(peers, key=lambda row: row.us, default=None)

    def fraction_of_read(self, row: Row) -> float | None:
        """Return the share of the plain read's bandwidth that a row reached."""
        read = self.us_of("read")
        return None if read is None or not row.samples_us else read / row.us

    def ahead(self, row: Row) -> float | None:
        """Return how many times as long as a row the fastest peer takes."""
        peer = self.fastest_peer
        return None if peer is None or not row.samples_us else peer.us / row.us

    def over_default(self, row: Row) -> float | None:
        """Return how many times as long as flashdec's default another way of it takes."""
        default = self.us_of(DEFAULT)
        if default is None or row.kind != "ours" or row.name == DEFAULT or not row.samples_us:
            return None
        return row.us / default

    def gb_per_s(self, row: Row) -> float:
        """Return 10^9 bytes of K and V per second."""
        return self.line.kv_bytes / row.us * 1e-3
