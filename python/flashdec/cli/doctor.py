"""``flashdec doctor``: whether everything is in order here, and what to do where it is not."""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import flashdec
from flashdec import _abi
from flashdec._enums import Backend
from flashdec.cli import info, selftest
from flashdec.errors import FlashdecError

__all__ = ["ABOUT", "CHECKS", "Finding", "add_arguments", "run"]

ABOUT = "check the installation, a sentence and a remedy each; exit status 1 on a fault"

SCHEMA = "flashdec-doctor/1"
OK, NOTE, FAULT = "ok", "note", "fault"
_VARIABLES = frozenset(
    {"FLASHDEC_CHECK", "FLASHDEC_ISA", "FLASHDEC_LIBRARY", "FLASHDEC_NUM_THREADS", "FLASHDEC_FA3"}
)
_CASES, _SEED = 60, 1  # of the selftest: a second
_DRIVER = Path("/proc/driver/nvidia/version")


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check has found.

    Attributes
    ----------
    level : str
        "ok", "note" (it works, but not all or not as fast as it could) or "fault".
    name, sentence : str
        What was looked at, and what was seen.
    remedy : str
        What to do about it; empty where there is nothing to do.
    """

    level: str
    name: str
    sentence: str
    remedy: str = ""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``doctor``."""
    parser.add_argument("--json", action="store_true", help="print a JSON document instead")


def run(options: argparse.Namespace) -> int:
    """Look at everything and report; return 0, or 1 where there is a fault."""
    findings = []
    for check in CHECKS:
        findings.append(check())
        if not options.json:
            _say(findings[-1])
    faults = sum(each.level == FAULT for each in findings)
    if options.json:
        rows = [asdict(each) for each in findings]
        print(json.dumps({"schema": SCHEMA, "faults": faults, "findings": rows}, indent=2))
    else:
        print(f"\n{faults} faults" if faults != 1 else "\n1 fault")
    return 1 if faults else 0


def _say(finding: Finding) -> None:
    print(f"{finding.level:6s}{finding.name:13s}{finding.sentence}", flush=True)
    if finding.remedy:
        print(f"{'':19s}→ {finding.remedy}")


def _library() -> Finding:
    path, found = flashdec.find_library(), _abi.version().decode()
    sentence = f"{path} is of version {found}"
    if found != flashdec.__version__:
        return Finding(
            FAULT, "library", f"{sentence}, the Python package of {flashdec.__version__}",
            "unset FLASHDEC_LIBRARY, or install both again: pip install --force-reinstall flashdec",
        )  # fmt: skip
    return Finding(OK, "library", sentence)


def _environment() -> Finding:
    given = sorted(name for name in os.environ if name.startswith("FLASHDEC_"))
    unknown = [name for name in given if name not in _VARIABLES]
    try:
        info.chosen_isa()
    except FlashdecError as error:
        return Finding(
            FAULT, "environment", str(error), "unset the variable that the sentence names"
        )
    if os.environ.get("FLASHDEC_CHECK") == "1":
        return Finding(
            NOTE, "environment", "FLASHDEC_CHECK is 1: every run on a GPU waits for it",
            "unset FLASHDEC_CHECK where speed counts",
        )  # fmt: skip
    if unknown:
        known = ", ".join(sorted(_VARIABLES))
        return Finding(
            NOTE, "environment", f"{', '.join(unknown)} means nothing to flashdec",
            f"it reads {known}",
        )  # fmt: skip
    return Finding(OK, "environment", f"sets {', '.join(given)}" if given else "sets nothing")


def _processor() -> Finding:
    try:
        isa = info.chosen_isa()
    except FlashdecError as error:
        return Finding(FAULT, "processor", str(error), "see above")
    best = NOTE if isa in ("generic", "reference") else OK
    plain = "" if best == OK else ": plain C++, which is several times slower than vectors"
    remedy = "unset FLASHDEC_ISA" if best != OK and "FLASHDEC_ISA" in os.environ else ""
    return Finding(best, "processor", f"CPU kernels use {isa}{plain}", remedy)


def _gpu() -> Finding:
    built = any(sku.backend is Backend.CUDA for sku in flashdec.kernels())
    driver = _DRIVER.exists()
    if not built:
        return Finding(
            NOTE, "GPU", "this build has no CUDA kernels",
            "install a wheel that has, or build with FLASHDEC_CUDA=ON" if driver else "",
        )  # fmt: skip
    facts = info.collect()["cuda"]
    if facts["device"] is not None:
        return Finding(OK, "GPU", f"{facts['device']} runs {facts['kernel']}")
    level = FAULT if driver else NOTE
    return Finding(
        level, "GPU", facts["refusal"],
        "install a driver of CUDA 13.0 or later, and see whether nvidia-smi lists a GPU of compute "
        "capability 8.0 or later" if driver else "",
    )  # fmt: skip


def _results() -> Finding:
    """Whether kernels compute right; the selftest has more cases."""
    targets, skipped, carrier = selftest.targets()
    outcomes = selftest.check_all(selftest.generate(_CASES, _SEED, targets), carrier, show=False)
    wrong = [each for each in outcomes if each.failure]
    if wrong:
        return Finding(
            FAULT, "results", f"{len(wrong)} of {len(outcomes)} cases are wrong",
            "flashdec selftest prints them; please report one",
        )  # fmt: skip
    sentence = f"{len(outcomes)} cases on {', '.join(targets)} agree with float64"
    if "cuda" in skipped and any(s.backend is Backend.CUDA for s in flashdec.kernels()):
        return Finding(NOTE, "results", sentence, f"the GPU was left out: {skipped['cuda']}")
    return Finding(OK, "results", sentence)


def _package(name: str, package: str, oldest: tuple[int, int], module: str) -> Finding:
    extra = module.partition(".")[2]
    remedy = f"pip install 'flashdec[{extra}]'"
    try:
        found = importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return Finding(OK, name, f"is not installed, and only {module} needs it")
    numbers = tuple(int(part) for part in found.split(".")[:2] if part.isdigit())
    if numbers < oldest:
        needed = ".".join(map(str, oldest))
        return Finding(NOTE, name, f"is {found}; {module} needs {needed}", remedy)
    return Finding(OK, name, f"is {found}")


_PACKAGES = (
    partial(_package, "PyTorch", "torch", (2, 10), "flashdec.torch"),
    partial(_package, "transformers", "transformers", (5, 0), "flashdec.hf"),
)
CHECKS: tuple[Callable[[], Finding], ...] = (
    _library, _environment, _processor, _gpu, _results, *_PACKAGES
)  # fmt: skip
