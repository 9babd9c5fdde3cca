"""``flashdec selftest``: whether the installed library computes right on this machine."""

from __future__ import annotations

import argparse
import json
import random
import shlex
from collections import Counter
from dataclasses import asdict
from time import perf_counter
from typing import Any

import flashdec
from flashdec.cli.info import chosen_isa
from flashdec.cli.progress import Progress
from flashdec.descriptor import Descriptor
from flashdec.errors import FlashdecError, InvalidArgumentError
from flashdec.plan import Plan
from flashdec.preference import PlanPreference
from flashdec.selftest.carriers import Carrier, cuda_carrier
from flashdec.selftest.cases import Case, generate, parse_case
from flashdec.selftest.check import Outcome, check, forced_isa

__all__ = ["ABOUT", "add_arguments", "check_all", "generate", "run", "targets"]

ABOUT = "check small random cases against float64 and bit for bit; exit status 1 on a failure"

SCHEMA = "flashdec-selftest/1"
_DEFAULT_CASES = 500
_MOST_FAILURES_SHOWN = 10


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``selftest``."""
    add = parser.add_argument
    add(
        "--cases",
        type=int,
        default=_DEFAULT_CASES,
        metavar="N",
        help=f"how many; default: {_DEFAULT_CASES}",
    )
    add("--seed", type=int, metavar="S", help="of the cases; default: a fresh one, printed")
    add("--case", metavar="LINE", help="check the one case that a failure printed")
    add("--json", action="store_true", help="print a JSON document instead")


def run(options: argparse.Namespace) -> int:
    """Check and report; return 0, or 1 if something is wrong."""
    if options.cases < 1:
        raise InvalidArgumentError(f"cases is {options.cases}; it must be at least 1")
    if options.seed is not None and options.seed < 0:
        raise InvalidArgumentError(f"seed is {options.seed}; it must be 0 or more")
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(2**31)
    chosen, skipped, carrier = targets()
    if options.case is not None:
        cases = [parse_case(options.case)]
    else:
        cases = generate(options.cases, seed, chosen)
    if not options.json:
        print(_title(cases, seed, skipped, carrier, options.case is not None), flush=True)
    start = perf_counter()
    outcomes = check_all(cases, carrier, show=not options.json)
    seconds = perf_counter() - start
    failures = [outcome for outcome in outcomes if outcome.failure]
    if options.json:
        print(json.dumps(_document(seed, skipped, seconds, outcomes), indent=2))
    else:
        print(_summary(outcomes, failures, seconds))
    return 1 if failures else 0


def targets() -> tuple[list[str], dict[str, str], Carrier | None]:
    """Return what can be tested here, what cannot and why, and who carries arrays to the GPU."""
    found, skipped = [], {}
    for isa in _instruction_sets():
        try:
            with forced_isa(isa):
                chosen_isa()
            found.append(isa)
        except FlashdecError as error:
            skipped[isa] = str(error)
    carrier = None
    try:
        desc = Descriptor.new(batch=1, heads=1, max_kv_len=1, head_dim=64)
        with forced_isa("cuda"):
            Plan.select(desc, PlanPreference(prefer_backend="cuda"))
        carrier = cuda_carrier()
        if carrier is None:
            skipped["cuda"] = (
                "no library is here that can carry arrays to the GPU; "
                "`pip install flashdec[cuda]` brings one"
            )
        else:
            found.append("cuda")
    except FlashdecError as error:
        skipped["cuda"] = str(error)
    return found, skipped, carrier


def _instruction_sets() -> list[str]:
    """Of this build, from the names of its CPU kernels, ``cpu_avx512_bf16`` for instance."""
    names = [sku.name.split("_") for sku in flashdec.kernels()]
    return list(dict.fromkeys("_".join(name[1:-1]) for name in names if name[0] == "cpu"))


def check_all(cases: list[Case], carrier: Carrier | None, show: bool) -> list[Outcome]:
    """Check cases; failures are printed if `show` is true."""
    outcomes: list[Outcome] = []
    shown = 0
    with Progress("", len(cases)) as progress:
        for case in cases:
            outcome = check(case, carrier)
            outcomes.append(outcome)
            progress.advance(f"{len(outcomes)} of {len(cases)} cases, {outcome.kernel}")
            if outcome.failure and show and shown < _MOST_FAILURES_SHOWN:
                shown += 1
                progress.clear()
                print(_failure_text(outcome), flush=True)
    return outcomes


def _failure_text(outcome: Outcome) -> str:
    return (
        f"FAILED {outcome.kernel}: {outcome.failure}\n"
        f"  again: flashdec selftest --case {shlex.quote(str(outcome.case))}"
    )


def _title(
    cases: list[Case], seed: int, skipped: dict[str, str], carrier: Carrier | None, single: bool
) -> str:
    lines = [f"flashdec {flashdec.__version__}: {len(cases)} case{'s' if len(cases) > 1 else ''}"]
    lines[0] += "" if single else f", --seed {seed}"
    lines += [f"not here: {name}: {reason}" for name, reason in skipped.items()]
    if carrier is not None:
        lines.append(f"GPU arrays by {carrier.name}")
    return "\n".join(lines)


def _summary(outcomes: list[Outcome], failures: list[Outcome], seconds: float) -> str:
    counts = Counter(outcome.kernel or "(refused)" for outcome in outcomes)
    worst: dict[str, float] = {}
    failed = Counter(outcome.kernel or "(refused)" for outcome in failures)
    for outcome in outcomes:
        name = outcome.kernel or "(refused)"
        worst[name] = max(worst.get(name, 0.0), outcome.worst)
    title = f"{'kernel':24s} {'cases':>6s} {'failed':>7s} {'worst error / bound':>20s}"
    lines = ["", title, "─" * len(title)]
    for name in sorted(counts):
        lines.append(f"{name:24s} {counts[name]:6d} {failed[name]:7d} {worst[name]:20.2f}")
    verdict = (
        f"{len(failures)} of {len(outcomes)} cases FAILED"
        if failures
        else f"all {len(outcomes)} cases are within the bound and repeat bit for bit"
    )
    return "\n".join([*lines, "", f"{verdict} ({seconds:.1f} s)"])


def _document(
    seed: int, skipped: dict[str, str], seconds: float, outcomes: list[Outcome]
) -> dict[str, Any]:
    failures = [outcome for outcome in outcomes if outcome.failure]
    return {
        "schema": SCHEMA,
        "version": flashdec.__version__,
        "seed": seed,
        "ok": not failures,
        "cases": len(outcomes),
        "seconds": round(seconds, 3),
        "not_here": skipped,
        "kernels": dict(Counter(outcome.kernel for outcome in outcomes)),
        "worst_error_over_bound": max(outcome.worst for outcome in outcomes),
        "failures": [
            {
                "kernel": each.kernel,
                "failure": each.failure,
                "line": str(each.case),
                "case": asdict(each.case),
            }
            for each in failures
        ],
    }
