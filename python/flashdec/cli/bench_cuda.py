"""``flashdec bench`` on a GPU."""

from __future__ import annotations

import argparse
import os
from typing import Any

from flashdec.bench.cuda import report
from flashdec.bench.cuda.appends import APPEND_LINES, measure_append
from flashdec.bench.cuda.contenders import PEERS, Contender, selected
from flashdec.bench.cuda.fa3 import VARIABLE
from flashdec.bench.cuda.gpu import Gpu, open_gpu
from flashdec.bench.cuda.lines import Line, LinePreset, line_of, line_preset
from flashdec.bench.cuda.measure import ROUNDS, Measurer
from flashdec.bench.cuda.merges import MERGE_LINES, measure_merge
from flashdec.bench.cuda.overhead import measure_cuda_overhead
from flashdec.bench.cuda.results import LineResult
from flashdec.bench.cuda.scene import Pool, pool_bytes
from flashdec.bench.cuda.torch_overhead import measure_torch_overhead
from flashdec.bench.cuda.verbs import verbs_to_json
from flashdec.bench.plot import Band, save_plot
from flashdec.bench.shapes import parse_case
from flashdec.cli.bench_output import is_quiet, say, write_document
from flashdec.cli.progress import Progress
from flashdec.dtypes import as_dtype
from flashdec.errors import InvalidArgumentError

__all__ = ["run"]

_VERBS: dict[str, tuple[Any, Any]] = {  # the lines, and what measures one
    "append": (APPEND_LINES, measure_append),
    "merge": (MERGE_LINES, measure_merge),
}
_DEFAULT_PRESET = "decode"
_AXIS = "K and V read per second, percent of a plain read of the same bytes"


def run(options: argparse.Namespace) -> int:
    """Measure and report; return 0."""
    _refuse_options_of_the_cpu(options)
    chosen = _lines(options)
    variants = _names(options.variant) if options.variant is not None else list(chosen.variants)
    contenders = selected(variants, _peers(options))
    if options.fa3 is not None:
        os.environ[VARIABLE] = str(options.fa3.resolve())
    gpu = open_gpu()
    with gpu.at_work():
        if options.overhead:
            return _run_overhead(gpu)
        if options.verb is not None:
            return _run_verb(options, gpu)
        return _run_lines(options, gpu, chosen.lines, contenders)


def _refuse_options_of_the_cpu(options: argparse.Namespace) -> None:
    if options.threads is not None:
        raise InvalidArgumentError(f"threads is {options.threads!r}; they are the CPU's")
    if options.layout != "bshd":
        raise InvalidArgumentError(
            f"layout is {options.layout!r}; on a GPU bench measures tokens before heads, bshd"
        )


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",")]


def _peers(options: argparse.Namespace) -> list[str]:
    if options.peers is not None:
        return _names(options.peers)
    return list(PEERS) if options.compare else []


def _lines(options: argparse.Namespace) -> LinePreset:
    """Return the lines of the preset, then those of ``--shape``."""
    dtype, page_size = as_dtype(options.dtype), options.page_size
    named = options.preset
    if named is None and not options.shape:
        named = _DEFAULT_PRESET
    more = tuple(line_of(parse_case(text), dtype, page_size) for text in options.shape)
    if named is None:
        return LinePreset("", more, ("default", "kv-len"))
    preset = line_preset(named, dtype, page_size)
    return LinePreset(preset.about, preset.lines + more, preset.variants)


def _run_lines(
    options: argparse.Namespace, gpu: Gpu, lines: tuple[Line, ...], contenders: list[Contender]
) -> int:
    measurer = Measurer(gpu, Pool(gpu, pool_bytes(lines)))
    empty_us = measurer.empty_us()
    say(options, report.header(gpu, ROUNDS))
    settings = {"rounds": ROUNDS, "preset": options.preset, "peers": _peers(options)}
    results: list[LineResult] = []
    with Progress("", len(lines)) as progress:
        for line in lines:

            def advance(name: str, line: Line = line) -> None:
                progress.advance(f"{line}: {name}", steps=0)

            results.append(measurer.measure(line, contenders, advance))
            progress.clear()
            say(options, report.line_text(results[-1]) + "\n")
            progress.advance()
            if not is_quiet(options):  # so that a run that is cut off leaves what it measured
                write_document(options, report.to_json(gpu, empty_us, results, settings))
            if gpu.is_lost():
                say(options, "a launch broke the GPU's context; the lines that follow are left out")
                break
    say(options, f"a launch that does nothing: {empty_us:.2f} µs\n" + report.footer(results))
    if is_quiet(options):
        write_document(options, report.to_json(gpu, empty_us, results, settings))
    _plot(options, gpu, results)
    return 0


def _plot(options: argparse.Namespace, gpu: Gpu, results: list[LineResult]) -> None:
    if options.plot is None:
        return
    bands = [
        Band(
            str(result.line),
            {
                row.name: 100 * share
                for row in result.rows
                if row.kind != "read" and (share := result.fraction_of_read(row)) is not None
            },
        )
        for result in results
    ]
    save_plot(options.plot, f"Decode attention on {gpu.name}", _AXIS, bands)
    say(options, f"picture: {options.plot}")


def _run_overhead(gpu: Gpu) -> int:
    """Measure host overheads and print them."""
    print(
        f"host time per call on {gpu.name}, µs: six torch tensors, medians of blocks of 200 calls"
    )
    print()
    print(f"{'':22s}{'empty call':>12s}{'bound':>13s}{'plan.run':>18s}  kernel")
    for cost in measure_cuda_overhead(gpu):
        extra = f"({cost.run - cost.bound:+.2f})"
        times = f"{cost.empty:12.3f}{cost.bound:13.2f}{cost.run:10.2f}"
        print(f"{cost.name:22s}{times} {extra:>7s}  {cost.kernel}")
    print("\nthe same of flashdec.torch, in eager mode")
    for name, us in measure_torch_overhead(gpu).items():
        print(f"{name:28s}{us:6.2f}")
    return 0


def _run_verb(options: argparse.Namespace, gpu: Gpu) -> int:
    """Measure one of the verbs beside decode and print it."""
    lines, measure = _VERBS[options.verb]
    name = f"{options.verb}s"
    say(options, f"{name} on {gpu.name}, launches one after another, all from memory; µs\n")
    say(
        options,
        f"{'':36s}{'flashdec':>10s}{'GB/s':>7s}{'goal':>7s}{'FlashInfer':>12s}{'error':>10s}",
    )
    results = []
    for line in lines:
        result = measure(gpu, line, options.compare)
        results.append(result)
        goal = "" if line.goal_us is None else f"{line.goal_us:.1f}"
        theirs = "" if result.flashinfer_us is None else f"{result.flashinfer_us:.2f}"
        say(
            options,
            f"{line!s:36s}{result.us:10.2f}{result.gb_per_s:7.0f}{goal:>7s}{theirs:>12s}"
            f"{result.error:10.1e}  {result.failure}".rstrip(),
        )
    write_document(options, verbs_to_json(gpu, name, results))
    return 0
