"""``flashdec bench --merge`` on a GPU that is only pretended (`pretended_gpu`)."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flashdec.bench.cuda import merges
from flashdec.bench.cuda.gpu import Gpu
from flashdec.bench.cuda.merges import MergeLine
from flashdec.cli import bench_cuda
from flashdec.dtypes import DType


def test_merges_are_measured(
    gpu: Gpu,
    flashdec_command: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    small = [MergeLine(3, 2, 4, 16, goal_us=5.0), MergeLine(2, 2, 4, 16, DType.FLOAT32, True)]
    monkeypatch.setattr(bench_cuda, "open_gpu", lambda: gpu)
    monkeypatch.setattr(bench_cuda, "MERGE_LINES", small)
    file = tmp_path / "merges.json"
    ran = flashdec_command("bench", "--merge", "--json", str(file))
    assert ran.status == 0, ran.err
    assert "3 x 2, 4, 16 bfloat16" in ran.out
    assert "2 x 2, 4, 16 float32 packed" in ran.out
    rows = json.loads(file.read_text())["merges"]
    assert [row["us"] for row in rows] == [20.0, 20.0]
    assert [row["line"]["dtype"] for row in rows] == ["BFLOAT16", "FLOAT32"]
    assert 0 < rows[0]["error"] < 0.02
    assert rows[1]["error"] < 1e-5
    assert all(row["flashinfer_us"] is None and row["failure"] == "" for row in rows)


def test_merges_say_that_flashinfer_is_missing(
    gpu: Gpu, flashdec_command: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench_cuda, "open_gpu", lambda: gpu)
    monkeypatch.setattr(bench_cuda, "MERGE_LINES", [MergeLine(2, 1, 1, 8)])
    monkeypatch.setattr(merges.importlib.util, "find_spec", lambda name: None)
    ran = flashdec_command("bench", "--merge", "--compare")
    assert "flashinfer is not installed" in ran.out


def test_a_merge_is_measured_though_flashinfer_fails(
    gpu: Gpu, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: Any) -> None:
        raise RuntimeError("no kernel for it")

    monkeypatch.setattr(merges.importlib.util, "find_spec", lambda name: True)
    monkeypatch.setattr(merges, "_capture_flashinfer", fail)
    result = merges.measure_merge(gpu, MergeLine(2, 1, 1, 8), peers=True)
    assert result.us == 20.0
    assert result.error < 0.02
    assert result.flashinfer_us is None
    assert result.failure == "flashinfer: RuntimeError: no kernel for it"
