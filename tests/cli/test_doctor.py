"""``flashdec doctor``: what is in order, what is not, and what to do about it."""

from __future__ import annotations

import importlib.metadata
import json
import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import flashdec
from flashdec.cli import doctor, selftest
from kit.backends import cuda_is_usable

Command = Callable[..., Any]


@pytest.fixture(autouse=True)
def few_cases(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_CASES", 6)
    for name in list(os.environ):
        if name.startswith("FLASHDEC_") and name != "FLASHDEC_LIBRARY":
            monkeypatch.delenv(name)


def findings(command: Command) -> tuple[int, dict[str, Any]]:
    ran = command("doctor", "--json")
    document = json.loads(ran.out)
    assert document["schema"] == "flashdec-doctor/1"
    assert (document["faults"] > 0) == (ran.status == 1)
    return ran.status, {each["name"]: each for each in document["findings"]}


def test_it_finds_no_fault_here(flashdec_command: Command) -> None:
    status, found = findings(flashdec_command)
    assert status == 0
    assert list(found) == [
        "library",
        "environment",
        "processor",
        "GPU",
        "results",
        "PyTorch",
        "transformers",
    ]
    assert found["library"]["level"] == "ok"
    assert "6 cases on " in found["results"]["sentence"]


def test_text_has_a_line_for_each(flashdec_command: Command) -> None:
    ran = flashdec_command("doctor")
    assert ran.status == 0
    assert ran.out.rstrip().endswith("0 faults")
    assert sum(line.startswith(("ok ", "note ", "fault ")) for line in ran.out.splitlines()) == 7


def test_another_library_is_a_fault(
    flashdec_command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flashdec, "__version__", "9.9.9")
    status, found = findings(flashdec_command)
    assert status == 1
    assert found["library"]["level"] == "fault"
    assert "9.9.9" in found["library"]["sentence"]
    assert "pip install" in found["library"]["remedy"]


@pytest.mark.parametrize(
    ("name", "value", "level", "words"),
    [
        ("FLASHDEC_ISA", "mmx", "fault", "mmx"),
        ("FLASHDEC_NUM_THREADS", "many", "fault", "many"),
        ("FLASHDEC_CHECK", "2", "fault", "FLASHDEC_CHECK"),
        ("FLASHDEC_CHECK", "1", "note", "waits"),
        ("FLASHDEC_THREADS", "4", "note", "FLASHDEC_THREADS means nothing"),
        ("FLASHDEC_NUM_THREADS", "1", "ok", "FLASHDEC_NUM_THREADS"),
    ],
)
def test_variables(
    flashdec_command: Command, monkeypatch: pytest.MonkeyPatch,
    name: str, value: str, level: str, words: str,
) -> None:  # fmt: skip
    monkeypatch.setattr(selftest, "targets", lambda: (["generic"], {}, None))
    monkeypatch.setenv(name, value)
    found = doctor.CHECKS[1]()
    assert found.level == level
    assert words in found.sentence
    assert (level == "ok") == (found.remedy == "")


def test_a_slow_processor_is_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLASHDEC_ISA", "generic")
    found = doctor.CHECKS[2]()
    assert (found.level, found.remedy) == ("note", "unset FLASHDEC_ISA")
    assert "generic" in found.sentence


@pytest.mark.skipif(cuda_is_usable(), reason="there is a GPU")
@pytest.mark.parametrize("driver", [False, True])
def test_a_missing_gpu(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, driver: bool) -> None:
    """With a driver there is something to be done."""
    file = tmp_path / "version"
    if driver:
        file.touch()
    monkeypatch.setattr(doctor, "_DRIVER", file)
    found = doctor.CHECKS[3]()
    assert found.level != "ok"
    assert (found.remedy != "") == driver


def test_wrong_results_are_a_fault(
    flashdec_command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = [SimpleNamespace(failure="o is wrong"), SimpleNamespace(failure="")]
    monkeypatch.setattr(selftest, "check_all", lambda *arguments, **more: wrong)
    status, found = findings(flashdec_command)
    assert status == 1
    assert found["results"]["sentence"] == "1 of 2 cases are wrong"


@pytest.mark.parametrize(
    ("check", "extra", "version", "level"),
    [
        (5, "torch", "2.9.1+cu126", "note"),
        (5, "torch", "2.10.0", "ok"),
        (5, "torch", "3.0", "ok"),
        (5, "torch", None, "ok"),
        (6, "hf", "4.57.1", "note"),
        (6, "hf", "5.0.0", "ok"),
        (6, "hf", None, "ok"),
    ],
)
def test_optional_packages(
    monkeypatch: pytest.MonkeyPatch, check: int, extra: str, version: str | None, level: str
) -> None:
    def find(name: str) -> str:
        if version is None:
            raise importlib.metadata.PackageNotFoundError(name)
        return version

    monkeypatch.setattr(importlib.metadata, "version", find)
    found = doctor.CHECKS[check]()
    assert found.level == level
    assert (f"flashdec[{extra}]" in found.remedy) == (level == "note")
