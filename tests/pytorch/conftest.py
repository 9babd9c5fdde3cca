"""Tests of ``flashdec.torch``: on the CPU, and where there is a GPU on it too."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=pytest.mark.cuda)])
def device(request: pytest.FixtureRequest) -> str:
    pytest.importorskip("torch")
    return str(request.param)
