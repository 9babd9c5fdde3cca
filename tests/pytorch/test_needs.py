"""Without PyTorch, or with an old one, one sentence with the remedy."""

from __future__ import annotations

import subprocess
import sys

import pytest

OLD = """
import sys, types
torch = types.ModuleType("torch")
torch.__version__, torch.Tensor = "2.3.1", object
sys.modules["torch"] = torch
"""


def import_after(setup: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", setup + "\nimport flashdec.torch"], capture_output=True, text=True
    )
    assert done.returncode == 1
    return done.stderr.strip().splitlines()[-1]


@pytest.mark.parametrize(
    ("setup", "words"),
    [
        ("import sys; sys.modules['torch'] = None", "needs PyTorch, which is not installed"),
        (OLD, "torch is 2.3.1; flashdec.torch needs 2.10"),
    ],
)
def test_it_says_so(setup: str, words: str) -> None:
    sentence = import_after(setup)
    assert sentence.startswith("ImportError: ")
    assert words in sentence
    assert sentence.endswith("pip install 'flashdec[torch]'")


def test_flashdec_alone_needs_none() -> None:
    program = (
        "import sys; sys.modules['torch'] = None; import flashdec; print(flashdec.__version__)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
