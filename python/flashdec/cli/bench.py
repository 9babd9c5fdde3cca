"""``flashdec bench``: how fast decode attention is here, beside what the memory allows."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path

from flashdec.bench.cuda.contenders import PEERS, VARIANTS
from flashdec.bench.cuda.fa3 import VARIABLE
from flashdec.bench.cuda.lines import LINE_PRESETS, LinePreset
from flashdec.bench.plot import check_plot
from flashdec.bench.shapes import DEFAULT_PRESET, PRESETS, Preset
from flashdec.cli import bench_cpu, bench_cuda, bench_generate
from flashdec.errors import InvalidArgumentError

ABOUT = "measure time, GB/s and percent of the read bandwidth probed beside each case"

HARNESSES: dict[str, Callable[[argparse.Namespace], int]] = {
    "cpu": bench_cpu.run,
    "cuda": bench_cuda.run,
}
"""How each device is measured; a new device is a new row."""


def _abouts(presets: Mapping[str, Preset | LinePreset]) -> str:
    return "; ".join(f"{name}: {preset.about}" for name, preset in presets.items())


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``bench``."""
    add = parser.add_argument
    presets = f"{_abouts(PRESETS)}; on a GPU: {_abouts(LINE_PRESETS)}"
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
    add("--compare", action="store_true", help="measure other libraries too, where installed")
    add("--device", help="cpu or cuda; default: cuda for a preset of the GPU, else cpu")
    add("--json", type=Path, metavar="FILE", help="write results there, - for standard output")
    add("--plot", type=Path, metavar="FILE", help="draw results into an .svg or .png file")
    add(
        "--overhead",
        action="store_true",
        help="measure instead what plan.run costs the host",
    )
    add(
        "--generate",
        action="store_true",
        help="measure instead tokens per second of a model of transformers, beside its sdpa",
    )
    _add_cuda_arguments(parser.add_argument_group("on a GPU"))


def _add_cuda_arguments(group: argparse._ArgumentGroup) -> None:
    for verb, what in (
        ("append", "appends of new tokens to the cache"),
        ("merge", "merges of partial results"),
    ):
        group.add_argument(
            f"--{verb}",
            action="store_const",
            dest="verb",
            const=verb,
            help=f"measure instead {what}; with --compare beside FlashInfer",
        )
    group.add_argument(
        "--variant",
        metavar="NAME[,NAME...]",
        help=f"ways of flashdec: {', '.join(VARIANTS)}; default: those of the preset",
    )
    group.add_argument(
        "--peers",
        metavar="NAME[,NAME...]",
        help=f"only these of the other libraries: {', '.join(PEERS)}; implies --compare",
    )
    group.add_argument(
        "--fa3",
        type=Path,
        metavar="FILE",
        help=f"FlashAttention-3's shared object; default: the environment's {VARIABLE}",
    )


def run(options: argparse.Namespace) -> int:
    """Measure and report on the device that is asked for; return 0."""
    on_gpu = options.verb or options.preset in LINE_PRESETS
    device = options.device or ("cuda" if on_gpu else "cpu")
    if device not in HARNESSES:
        raise InvalidArgumentError(
            f"device is {device!r}; bench measures {' and '.join(HARNESSES)}"
        )
    if options.page_size < 0:
        raise InvalidArgumentError(f"page-size is {options.page_size}; it must be 0 or more")
    if options.plot is not None:
        check_plot(options.plot)
    _check_folders(options)
    if options.generate:
        return bench_generate.run(options, device)
    return HARNESSES[device](options)


def _check_folders(options: argparse.Namespace) -> None:
    """Refuse before measuring what could not be written after it."""
    for file in (options.json, options.plot):
        if file is not None and not file.parent.is_dir():
            raise InvalidArgumentError(f"{file} cannot be written: {file.parent} is no folder")
