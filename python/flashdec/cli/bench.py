"""``flashdec bench``: how fast decode attention is here, beside what the memory allows."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

from flashdec.bench import report
from flashdec.bench.harness import Group, Settings, harness_for, samples_of
from flashdec.bench.machine import machine, processors
from flashdec.bench.overhead import GOAL_US, measure_overhead, overhead_libraries
from flashdec.bench.plot import check_plot, save_plot
from flashdec.bench.shapes import DEFAULT_PRESET, PRESETS, Case, parse_case, preset_named
from flashdec.cli.info import chosen_isa
from flashdec.cli.progress import Progress
from flashdec.dtypes import as_dtype
from flashdec.errors import InvalidArgumentError

ABOUT = "measure time, GB/s and percent of the read bandwidth probed beside each case"

_MOST_THREADS = 1024


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``bench``."""
    presets = "; ".join(f"{name}: {preset.about}" for name, preset in PRESETS.items())
    add = parser.add_argument
    add("--preset", metavar="NAME", help=f"a list of cases ({presets}); default: {DEFAULT_PRESET}")
    add(
        "--shape",
        metavar="B,Hq,Hkv,D,K",
        action="append",
        default=[],
        help="a case of your own, for instance 1,32,8,128,4k; may be repeated",
    )
    add("--dtype", default="bfloat16", help="bfloat16, float16 or float32; default: bfloat16")
    add(
        "--layout",
        choices=("bshd", "bhsd"),
        default="bshd",
        help="order of the axes of K and V; default: bshd",
    )
    add(
        "--page-size",
        type=int,
        default=0,
        metavar="N",
        help="tokens in a page of a randomly paged cache; default: not paged",
    )
    add("--threads", metavar="N[,N...]", help="numbers of threads; default: 1 and all processors")
    add("--compare", action="store_true", help="measure torch and numpy too, where installed")
    add("--device", default="cpu", help="cpu; other harnesses come later")
    add("--json", type=Path, metavar="FILE", help="write results there, - for standard output")
    add("--plot", type=Path, metavar="FILE", help="draw results into an .svg or .png file")
    add(
        "--overhead",
        action="store_true",
        help="measure instead what plan.run costs the host beyond the bare C call",
    )


def run(options: argparse.Namespace) -> int:
    """Measure and report; return 0."""
    if options.overhead:
        return _run_overhead()
    harness = harness_for(options.device)
    cases = _cases(options)
    settings = _settings(options)
    if options.plot is not None:
        check_plot(options.plot)
    _check_folders(options)
    for case in cases:
        harness.check(case, settings)
    host, isa = machine(), chosen_isa(settings.dtype)
    quiet = str(options.json) == "-"

    def say(text: str) -> None:
        if not quiet:
            print(text, flush=True)

    say(report.header(host, settings, isa))
    groups: list[Group] = []
    with Progress("", samples_of(settings) * len(cases)) as progress:
        for position, case in enumerate(cases):
            progress.advance(str(case), steps=0)
            found = harness.measure(case, settings, progress.advance)
            groups += found
            progress.clear()
            gap = "\n\n" if settings.compare else "\n"
            say(gap.join(map(report.group_lines, found)) + gap[1:])
            progress.reach(samples_of(settings) * (position + 1))
    say(("" if settings.compare else "\n") + report.footer(groups))
    document = report.to_json(host, settings, isa, options.device, groups)
    _write(options, document, say)
    if options.plot is not None:
        save_plot(options.plot, host, groups)
        say(f"picture: {options.plot}")
    return 0


def _check_folders(options: argparse.Namespace) -> None:
    """Refuse before measuring what could not be written after it."""
    for file in (options.json, options.plot):
        if file is not None and not file.parent.is_dir():
            raise InvalidArgumentError(f"{file} cannot be written: {file.parent} is no folder")


def _write(options: argparse.Namespace, document: str, say: Callable[[str], None]) -> None:
    if options.json is None:
        return
    if str(options.json) == "-":
        print(document, end="")
        return
    try:
        options.json.write_text(document, encoding="utf-8")
    except OSError as error:
        raise InvalidArgumentError(f"{options.json} cannot be written: {error.strerror}") from error
    say(f"results: {options.json}")


def _cases(options: argparse.Namespace) -> list[Case]:
    """Those of the preset, then those of ``--shape``; the default preset if there are neither."""
    named = options.preset
    if named is None and not options.shape:
        named = DEFAULT_PRESET
    cases = list(preset_named(named).cases) if named is not None else []
    return cases + [parse_case(text) for text in options.shape]


def _settings(options: argparse.Namespace) -> Settings:
    if options.page_size < 0:
        raise InvalidArgumentError(f"page-size is {options.page_size}; it must be 0 or more")
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
