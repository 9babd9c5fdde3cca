"""``flashdec bench --append`` and ``--merge`` on a GPU that is only pretended (`pretended_gpu`)."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flashdec.bench.cuda import appends, merges, verbs
from flashdec.bench.cuda.appends import AppendLine
from flashdec.bench.cuda.gpu import Gpu
from flashdec.bench.cuda.merges import MergeLine
from flashdec.cli import bench_cuda
from flashdec.dtypes import DType

SMALL = {
    "append": (
        AppendLine(2, 4, 2, 16, goal_us=5.0),
        AppendLine(3, 2, 1, 16, tokens=20, advance=True),
        AppendLine(2, 2, 2, 16, page_size=0, dtype=DType.FLOAT32),
    ),
    "merge": (MergeLine(3, 2, 4, 16, goal_us=5.0), MergeLine(2, 2, 4, 16, DType.FLOAT32, True)),
}
MEASURES = {"append": appends.measure_append, "merge": merges.measure_merge}


@pytest.fixture
def small(gpu: Gpu, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench_cuda, "open_gpu", lambda: gpu)
    for verb, lines in SMALL.items():
        monkeypatch.setitem(bench_cuda._VERBS, verb, (lines, MEASURES[verb]))


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("verb", SMALL)
def test_verbs_are_measured(
    verb: str, flashdec_command: Callable[..., Any], tmp_path: Path
) -> None:
    file = tmp_path / "verb.json"
    ran = flashdec_command("bench", f"--{verb}", "--json", str(file))
    assert ran.status == 0, ran.err
    lines = SMALL[verb]
    assert all(str(line) in ran.out for line in lines)
    rows = json.loads(file.read_text())[f"{verb}s"]
    assert [row["us"] for row in rows] == [20.0] * len(lines)
    assert [row["line"]["dtype"] for row in rows] == [line.dtype.name for line in lines]
    for row in rows:
        single = row["line"]["dtype"] == "FLOAT32"
        assert 0 < row["error"] < (1e-5 if single else 0.04)
        assert row["flashinfer_us"] is None
        assert row["failure"] == ""


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("verb", SMALL)
def test_it_says_that_flashinfer_is_missing(
    verb: str, flashdec_command: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verbs.importlib.util, "find_spec", lambda name: None)
    ran = flashdec_command("bench", f"--{verb}", "--compare")
    assert ran.out.count("flashinfer is not installed") == len(SMALL[verb])


@pytest.mark.parametrize("verb", SMALL)
def test_a_verb_is_measured_though_flashinfer_fails(
    verb: str, gpu: Gpu, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: Any) -> None:
        raise RuntimeError("no kernel for it")

    monkeypatch.setattr(verbs.importlib.util, "find_spec", lambda name: True)
    monkeypatch.setattr({"append": appends, "merge": merges}[verb], "_flashinfer", fail)
    result = MEASURES[verb](gpu, SMALL[verb][0], peers=True)
    assert result.us == 20.0
    assert result.error < 0.04
    assert result.flashinfer_us is None
    assert result.failure == "flashinfer: RuntimeError: no kernel for it"
