"""Write the report of a GPU run: device, driver, what was tested, and what came of it."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
from collections import Counter
from pathlib import Path

import torch

import flashdec

TREES = ("native", "python", "tests")
SKIPPED = {"__pycache__", ".pytest_cache", ".hypothesis", ".mypy_cache", ".ruff_cache"}


def command(*words: str) -> str:
    """Return what a command prints."""
    return subprocess.run(words, capture_output=True, text=True, check=False).stdout.strip()


def tree_hash(folder: str) -> str:
    """Return a hash of the paths and contents of a folder's sources, committed or not."""
    digest = hashlib.sha256()
    for path in sorted(Path(folder).rglob("*")):
        if path.is_file() and not SKIPPED & set(path.parts):
            content = hashlib.sha256(path.read_bytes()).hexdigest()
            digest.update(f"{path.as_posix()} {content}\n".encode())
    return digest.hexdigest()


def outcomes(path: Path) -> tuple[dict[str, Counter[str]], float]:
    """Count the outcomes of each test file, and the seconds of all."""
    counts: dict[str, Counter[str]] = {}
    root = ElementTree.parse(path).getroot()
    for case in root.iter("testcase"):
        kinds = [child.tag for child in case if child.tag in ("failure", "error", "skipped")]
        name = case.get("classname", "").replace(".", "/") + ".py"
        counts.setdefault(name, Counter())[kinds[0] if kinds else "passed"] += 1
    return counts, sum(float(suite.get("time", 0)) for suite in root.iter("testsuite"))


def main(folder: Path) -> int:
    """Write cuda_tests.json beside the log."""
    counts, seconds = outcomes(folder / "cuda_tests.xml")
    total = sum(counts.values(), Counter())
    report = {
        "device": torch.cuda.get_device_name(),
        "driver": command("nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"),
        "date": time.strftime("%Y-%m-%d"),
        "commit": os.environ.get("FLASHDEC_COMMIT") or command("git", "rev-parse", "HEAD"),
        "trees": {tree: tree_hash(tree) for tree in TREES},
        "version": flashdec.__version__,
        "wheel": Path(os.environ.get("FLASHDEC_WHEEL", "")).name or None,  # None: built there
        "kernels": [kernel.name for kernel in flashdec.kernels() if kernel.backend == 2],
        "random_cases": int(os.environ.get("FLASHDEC_TEST_CASES", "3000")),
        "seconds": round(seconds, 1),
        "total": dict(total),
        "files": {name: dict(count) for name, count in sorted(counts.items())},
    }
    (folder / "cuda_tests.json").write_text(json.dumps(report, indent=2) + "\n")
    print(json.dumps({key: report[key] for key in ("device", "driver", "commit", "total")}))
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
