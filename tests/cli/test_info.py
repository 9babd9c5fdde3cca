from __future__ import annotations

import json
import os
import platform
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import flashdec


def test_json_has_the_schema(flashdec_command: Callable[..., Any]) -> None:
    ran = flashdec_command("info", "--json")
    facts = json.loads(ran.out)
    assert ran.status == 0
    assert facts["schema"] == "flashdec-info/1"
    assert facts["version"] == flashdec.__version__
    assert facts["abi_version"] == 0
    assert facts["library"] == {
        "path": str(flashdec.find_library()),
        "bytes": flashdec.find_library().stat().st_size,
    }
    assert facts["machine"]["processors"] == len(os.sched_getaffinity(0))
    assert [each["name"] for each in facts["kernels"]] == [s.name for s in flashdec.kernels()]
    assert {"element", "layout", "arch", "deterministic", "math_precision"} <= set(
        facts["kernels"][0]
    )
    cuda = facts["cuda"]
    assert (cuda["device"] is None) == (cuda["refusal"] is not None)


@pytest.mark.skipif(platform.machine() != "x86_64", reason="reads the flags of an x86-64")
def test_the_best_instruction_set_is_what_the_system_says(
    flashdec_command: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FLASHDEC_ISA", raising=False)
    flags = set(re.findall(r"\w+", Path("/proc/cpuinfo").read_text()))
    avx2 = {"avx2", "fma", "f16c"}
    avx512 = avx2 | {"avx512f", "avx512bw", "avx512vl", "avx512dq"}
    best = "avx512" if avx512 <= flags else "avx2" if avx2 <= flags else "generic"
    if best == "avx512" and "avx512_bf16" in flags:
        best = "avx512bf16"
    assert json.loads(flashdec_command("info", "--json").out)["cpu"]["isa"] == best


@pytest.mark.skipif(platform.machine() != "aarch64", reason="reads the features of an aarch64")
def test_the_best_instruction_set_of_aarch64(
    flashdec_command: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FLASHDEC_ISA", raising=False)
    features = set(re.findall(r"\w+", Path("/proc/cpuinfo").read_text()))
    best = "neonbf16" if "bf16" in features else "neon"
    assert json.loads(flashdec_command("info", "--json").out)["cpu"]["isa"] == best


def test_text_fits_into_100_columns(flashdec_command: Callable[..., Any]) -> None:
    ran = flashdec_command("info")
    table = ran.out.split("\n\n", 1)[1]
    assert ran.status == 0
    assert max(map(len, table.splitlines())) <= 100
    for sku in flashdec.kernels():
        assert sku.name in table


def test_isa_and_threads_say_why(
    flashdec_command: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLASHDEC_ISA", "generic")
    monkeypatch.setenv("FLASHDEC_NUM_THREADS", "5")
    facts = json.loads(flashdec_command("info", "--json").out)["cpu"]
    assert (facts["isa"], facts["isa_why"]) == ("generic", "FLASHDEC_ISA=generic")
    assert (facts["threads"], facts["threads_why"]) == (5, "FLASHDEC_NUM_THREADS=5")
    monkeypatch.delenv("FLASHDEC_ISA")
    text = flashdec_command("info").out
    assert "the best that this processor and build have" in text


def test_a_wrong_isa_is_shown_as_a_sentence(
    flashdec_command: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLASHDEC_ISA", "sse9")
    ran = flashdec_command("info")
    assert ran.status == 0
    assert 'FLASHDEC_ISA is "sse9"' in ran.out


def test_usage_errors_and_help(flashdec_command: Callable[..., Any]) -> None:
    assert flashdec_command().status == 2
    assert flashdec_command("nope").status == 2
    assert flashdec_command("info", "--nope").status == 2
    helped = flashdec_command("--help")
    assert helped.status == 0
    for name in ("info", "selftest", "bench"):
        assert name in helped.out
        assert flashdec_command(name, "--help").status == 0


def test_python_m_flashdec_runs_and_survives_a_closed_pipe() -> None:
    shown = subprocess.run(
        [sys.executable, "-m", "flashdec", "--version"], capture_output=True, text=True, check=True
    )
    assert shown.stdout == f"flashdec {flashdec.__version__}\n"
    closed = subprocess.run(
        f"{sys.executable} -m flashdec info | true",
        shell=True,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "Traceback" not in closed.stderr


def test_output_survives_a_terminal_of_ascii() -> None:
    shown = subprocess.run(
        [sys.executable, "-m", "flashdec", "info"],
        capture_output=True,
        check=True,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
    )
    assert b"kernel, best first" in shown.stdout
