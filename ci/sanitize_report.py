"""Write the report of ci/sanitize_cuda.sh: what each tool ran and found."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

TOOLS = ("memcheck", "initcheck", "racecheck", "synccheck")
VERBS = {"appends": "cuda_append", "merges": "cuda_merge"}  # beside the kernels of decode
CASE = re.compile(r"^(cuda_\w+) \w+: (ok)?", re.MULTILINE)
ERRORS = re.compile(r"ERROR SUMMARY: (\d+) error|RACECHECK SUMMARY: .*\((\d+) error")
WARNINGS = re.compile(r"RACECHECK SUMMARY: .* (\d+) warning")
EXIT = re.compile(r"exit (\d+), (\d+) seconds")


def command(*words: str) -> str:
    """Return what a command prints."""
    return subprocess.run(words, capture_output=True, text=True, check=False).stdout.strip()


def query(what: str) -> str:
    """Ask nvidia-smi about the first GPU."""
    return command("nvidia-smi", f"--query-gpu={what}", "--format=csv,noheader", "-i", "0")


def summary(tool: str, log: str) -> dict[str, Any]:
    """Read a tool's log; ``errors`` is None if the tool did not come to its summary."""
    cases = CASE.findall(log)
    errors = [int(first or second) for first, second in ERRORS.findall(log)]
    code, seconds = EXIT.findall(log)[-1]
    return {
        "tool": tool,
        "cases": len(cases),
        "failed_cases": sum(not ok for _, ok in cases),
        "rows": len({row for row, _ in cases} - set(VERBS.values())),
        **{name: sum(row == verb for row, _ in cases) for name, verb in VERBS.items()},
        "errors": sum(errors) if errors else None,
        "warnings": sum(map(int, WARNINGS.findall(log))),
        "exit": int(code),
        "seconds": int(seconds),
    }


def main(folder: Path) -> int:
    """Write sanitizers.json beside the logs."""
    logs = {tool: folder / f"{tool}.log" for tool in TOOLS}
    report = {
        "device": query("name"),
        "driver": query("driver_version"),
        "compute_sanitizer": command("compute-sanitizer", "--version").splitlines()[-1:],
        "date": time.strftime("%Y-%m-%d"),
        "commit": os.environ.get("FLASHDEC_COMMIT") or command("git", "rev-parse", "HEAD"),
        "tools": [
            summary(tool, path.read_text(errors="replace"))
            for tool, path in logs.items()
            if path.exists()
        ],
    }
    (folder / "sanitizers.json").write_text(json.dumps(report, indent=2) + "\n")
    for tool in report["tools"]:
        print(json.dumps(tool))
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
