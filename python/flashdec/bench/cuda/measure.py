"""From a line to results: every contender captured in a graph, then replayed in turns."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from statistics import median

from flashdec.bench.cuda.contenders import Contender
from flashdec.bench.cuda.exact import check_points, error_over_bound
from flashdec.bench.cuda.goals import ON_DEVICE_US, goal_us, invariant_goal_us
from flashdec.bench.cuda.gpu import Gpu, reason_of
from flashdec.bench.cuda.lines import Line
from flashdec.bench.cuda.reader import Reader, fastest
from flashdec.bench.cuda.replay import Captured, capture
from flashdec.bench.cuda.results import DEFAULT, LineResult, Row
from flashdec.bench.cuda.scene import Pool, Scene, copies_of, make_scene

__all__ = ["ROUNDS", "Measurer"]

ROUNDS = 7
_EMPTY_LAUNCHES = 256


@dataclass(slots=True)
class _Entry:
    """A row in the making; `failure` ends it."""

    name: str
    about: str
    kind: str
    make: Callable[[], tuple[Captured, str]]
    on_device: bool = False
    beside_default: bool = False
    captured: Captured | None = None
    note: str = ""
    error: float | None = None
    samples_us: list[float] = field(default_factory=list)
    failure: str = ""

    @contextmanager
    def trying(self) -> Iterator[None]:
        """Let no failure out: other libraries raise anything."""
        try:
            yield
        except Exception as error:
            self.failure = reason_of(error)
            self.captured = None

    def goal(self, of_line: float | None, default_us: float | None) -> float | None:
        """Return this row's goal, from the line's and from what flashdec's default took."""
        if self.kind != "ours":
            return None
        if self.beside_default:
            return None if default_us is None else invariant_goal_us(default_us)
        extra = ON_DEVICE_US if self.on_device else 0.0
        return None if of_line is None else of_line + extra

    def row(self, goal: float | None) -> Row:
        """Return the finished row."""
        return Row(
            name=self.name,
            about=self.about,
            kind=self.kind,
            samples_us=() if self.failure else tuple(self.samples_us),
            error=self.error,
            goal_us=goal,
            note=self.note,
            failure=self.failure,
        )


class Measurer:
    """Measures lines over one pool of memory.

    Parameters
    ----------
    gpu : Gpu
        Where.
    pool : Pool
        Memory for the largest line.
    """

    def __init__(self, gpu: Gpu, pool: Pool) -> None:
        self._gpu = gpu
        self._pool = pool
        self._reader = Reader(gpu)
        self._zeros = gpu.torch.empty(gpu.cleared_bytes, dtype=gpu.torch.uint8, device=gpu.device)

    def empty_us(self) -> float:
        """Return what a launch that does nothing takes."""
        captured = capture(self._gpu, self._reader.empty(), _EMPTY_LAUNCHES)
        return median(captured.seconds() for _ in range(ROUNDS)) * 1e6

    def measure(
        self, line: Line, contenders: list[Contender], advance: Callable[[str], None]
    ) -> LineResult:
        """Measure a line; a contender that fails is a row with a reason.

        Parameters
        ----------
        line : Line
            What.
        contenders : list of Contender
            Who; those that are missing or refuse are left out.
        advance : callable
            ``advance(name)`` is called before each contender is prepared.
        """
        try:
            return self._measure(line, contenders, advance)
        except Exception as error:
            return LineResult(line, copies_of(line), failure=reason_of(error))

    def _measure(
        self, line: Line, contenders: list[Contender], advance: Callable[[str], None]
    ) -> LineResult:
        scene = make_scene(self._gpu, self._pool, line)
        reasons = {each.name: each.missing() or each.refuse(line) for each in contenders}
        entries = self._reads(scene)
        entries += [_entry(scene, each) for each in contenders if not reasons[each.name]]
        for entry in entries:
            advance(entry.name)
            with entry.trying():
                entry.captured, entry.note = entry.make()
        _check(scene, entries)
        _replay_in_turns(entries, self._clear_l2)
        left_out = {name: reason for name, reason in reasons.items() if reason}
        result = LineResult(line, scene.copies, tuple(each.row(None) for each in entries), left_out)
        read_us = result.us_of("read")
        if read_us is None:
            return result
        goal = goal_us(line, read_us, result.us_of("read_pages"), self._gpu.name)
        default_us = result.us_of(DEFAULT)
        rows = tuple(each.row(each.goal(goal, default_us)) for each in entries)
        return LineResult(line, scene.copies, rows, left_out)

    def _clear_l2(self) -> None:
        """Leave nothing in L2 of the contender before.

        Lines that a kernel asks to keep, or just not to drop, outlive gigabytes that another one
        reads with the hint to be dropped first.
        """
        self._zeros.zero_()

    def _reads(self, scene: Scene) -> list[_Entry]:
        linear = partial(fastest, scene, self._reader.linear, self._clear_l2)
        entries = [_Entry("read", "a plain read of the same bytes", "read", linear)]
        if scene.page_table is not None:
            pages = partial(fastest, scene, self._reader.in_pages, self._clear_l2)
            about = "the same bytes in the order of the page table"
            entries.append(_Entry("read_pages", about, "read", pages))
        return entries


def _entry(scene: Scene, contender: Contender) -> _Entry:
    def make() -> tuple[Captured, str]:
        prepared = contender.prepare(scene)
        return capture(scene.gpu, prepared.run, scene.copies), prepared.note

    kind = "ours" if contender.ours else "peer"
    on_device, beside_default = contender.on_device, contender.beside_default
    return _Entry(contender.name, contender.about, kind, make, on_device, beside_default)


def _check(scene: Scene, entries: list[_Entry]) -> None:
    """Compare what the graphs compute with float64."""
    checked = check_points(scene, scene.copies - 1)
    for entry in entries:
        if entry.captured is not None and entry.kind != "read":
            with entry.trying():
                entry.error = error_over_bound(scene, entry.captured.computed(), checked)


def _replay_in_turns(entries: list[_Entry], clear: Callable[[], None]) -> None:
    """Take a sample of every contender in each round, so that clocks drift for all alike."""
    for _ in range(ROUNDS):
        for entry in entries:
            if entry.captured is not None:
                with entry.trying():
                    clear()
                    entry.samples_us.append(entry.captured.seconds() * 1e6)
