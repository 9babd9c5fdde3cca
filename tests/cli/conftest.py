"""Fixtures of the command line's tests."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest
from pretended_gpu import pretend

from flashdec.__main__ import main
from flashdec.bench import probe, timing
from flashdec.bench.cuda.gpu import Gpu
from flashdec.bench.machine import Machine


@dataclass(frozen=True)
class Ran:
    status: int
    out: str
    err: str


@pytest.fixture
def flashdec_command(capsys: pytest.CaptureFixture[str]) -> Callable[..., Ran]:
    """Run ``flashdec ...`` in this process; usage errors give their status too."""

    def run(*arguments: str) -> Ran:
        capsys.readouterr()
        try:
            status = main(arguments)
        except SystemExit as error:
            status = int(error.code or 0)
        captured = capsys.readouterr()
        return Ran(status, captured.out, captured.err)

    return run


@pytest.fixture
def fast_bench(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small rotations and short samples: the figures mean nothing, everything else is real."""
    monkeypatch.setattr(Machine, "rotation_bytes", 4 * 2**20)
    monkeypatch.setattr(timing, "_SECONDS", 0.0005)
    monkeypatch.setattr(probe, "_LEAST_SECONDS", 0.0005)


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Gpu:
    """A GPU over CPU tensors of torch."""
    pytest.importorskip("torch")
    return pretend(monkeypatch)
