"""``flashdec bench`` on the CPU."""

from __future__ import annotations

import argparse

from flashdec.bench import harness, report
from flashdec.bench.cuda.lines import LINE_PRESETS
from flashdec.bench.harness import Group, Settings, samples_of
from flashdec.bench.machine import machine, processors
from flashdec.bench.overhead import GOAL_US, measure_overhead, overhead_libraries
from flashdec.bench.plot import bands_of_groups, save_plot
from flashdec.bench.shapes import DEFAULT_PRESET, PRESETS, Case, parse_case, preset_named
from flashdec.cli.bench_output import say, write_document
from flashdec.cli.info import chosen_isa
from flashdec.cli.progress import Progress
from flashdec.dtypes import as_dtype
from flashdec.errors import InvalidArgumentError

__all__ = ["run"]

_MOST_THREADS = 1024
_AXIS = "K and V read per second, percent of the probed linear read bandwidth"


def run(options: argparse.Namespace) -> int:
    """Measure and report; return 0."""
    _refuse_options_of_the_gpu(options)
    if options.overhead:
        return _run_overhead()
    cases = _cases(options)
    settings = _settings(options)
    for case in cases:
        harness.check(case, settings)
    host, isa = machine(), chosen_isa(settings.dtype)
    say(options, report.header(host, settings, isa))
    groups = _measure(options, cases, settings)
    say(options, ("" if settings.compare else "\n") + report.footer(groups))
    write_document(options, report.to_json(host, settings, isa, "cpu", groups))
    if options.json is not None:
        say(options, f"results: {options.json}")
    if options.plot is not None:
        save_plot(options.plot, f"Decode attention on {host.cpu}", _AXIS, bands_of_groups(groups))
        say(options, f"picture: {options.plot}")
    return 0


def _refuse_options_of_the_gpu(options: argparse.Namespace) -> None:
    for name in ("variant", "peers", "fa3"):
        if (value := getattr(options, name)) is not None:
            raise InvalidArgumentError(f"{name} is {str(value)!r}; that is for a GPU")


def _measure(options: argparse.Namespace, cases: list[Case], settings: Settings) -> list[Group]:
    groups: list[Group] = []
    with Progress("", samples_of(settings) * len(cases)) as progress:
        for position, case in enumerate(cases):
            progress.advance(str(case), steps=0)
            found = harness.measure(case, settings, progress.advance)
            groups += found
            progress.clear()
            gap = "\n\n" if settings.compare else "\n"
            say(options, gap.join(map(report.group_lines, found)) + gap[1:])
            progress.reach(samples_of(settings) * (position + 1))
    return groups


def _cases(options: argparse.Namespace) -> list[Case]:
    """Those of the preset, then those of ``--shape``; the default preset if there are neither."""
    named = options.preset
    if named in LINE_PRESETS:
        raise InvalidArgumentError(
            f"preset {named!r} is the GPU's; those of the processor are {', '.join(PRESETS)}"
        )
    if named is None and not options.shape:
        named = DEFAULT_PRESET
    if named is not None and named not in PRESETS:
        raise InvalidArgumentError(
            f"preset is {named!r}; there are {', '.join(PRESETS)}, "
            f"and on a GPU {', '.join(LINE_PRESETS)}"
        )
    cases = list(preset_named(named).cases) if named is not None else []
    return cases + [parse_case(text) for text in options.shape]


def _settings(options: argparse.Namespace) -> Settings:
    return Settings(
        dtype=as_dtype(options.dtype),
        layout=options.layout,
        page_size=options.page_size,
        threads=_threads(options.threads),
        compare=options.compare,
        rotation_bytes=machine().rotation_bytes,
    )


def _threads(text: str | None) -> tuple[int, ...]:
    if text is None:
        return tuple(sorted({1, len(processors())}))
    counts = []
    for part in text.split(","):
        if not part.strip().isdecimal() or not 1 <= int(part) <= _MOST_THREADS:
            raise InvalidArgumentError(
                f"threads is {text!r}; it must be numbers from 1 to {_MOST_THREADS}, "
                "for instance 1,2"
            )
        counts.append(int(part))
    return tuple(dict.fromkeys(counts))


def _run_overhead() -> int:
    """Measure host overheads and print them."""
    print("host time per call, µs: six arrays, the smallest problem, medians of interleaved blocks")
    print()
    print(f"{'arrays of':10s} {'bare C call':>12s} {'plan.run':>18s} {'swap six, plan.run':>22s}")
    for library in overhead_libraries():
        cost = measure_overhead(library)
        print(
            f"{library:10s} {cost.bare:12.2f} "
            f"{cost.run:9.2f} ({cost.run_extra:+.2f}) {cost.swap:13.2f} ({cost.swap_extra:+.2f})"
        )
    print()
    print(f"in brackets: beyond the bare call; the goal for plan.run is {GOAL_US:.0f} µs at most")
    return 0
