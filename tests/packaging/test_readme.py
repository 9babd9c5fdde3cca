"""README's Python runs as it is printed, and its links lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import flashdec

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "README.md").read_text()


def test_the_python_runs_and_is_right() -> None:
    names: dict[str, Any] = {}
    exec("\n".join(re.findall(r"```python\n(.*?)```", TEXT, re.S)), names)
    pages = [names[name] for name in ("q", "pages_k", "pages_v")]
    want = flashdec.decode(*pages, kv_len=names["lengths"], page_table=names["table"])
    # README's plan has splits of another length, so other bits.
    assert np.allclose(names["o"], want, rtol=2**-9, atol=2**-12)
    assert want.any()
    assert (names["lengths"] == 1001).all()
    assert not np.array_equal(names["rotated"], names["q"])
    whole = flashdec.decode(*(names[name] for name in "qkv"), kv_len=names["lengths"])
    assert np.allclose(names["whole"], whole, rtol=2**-9, atol=2**-12)


def test_the_pytorch_example_runs() -> None:
    pytest.importorskip("torch")
    names: dict[str, Any] = {}
    (example,) = re.findall(r"```py\n(import torch\n.*?)```", TEXT, re.S)
    exec(example, names)
    assert names["cache"].kv_len.tolist() == [1] * 8
    new_v = names["new_v"].repeat_interleave(4, dim=1)  # attention over one token
    assert names["torch"].allclose(names["o"], new_v)


def test_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", TEXT):
        assert (ROOT / target).exists(), target
