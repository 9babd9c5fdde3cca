"""``flashdec bench --generate`` on a model that is small enough."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flashdec.bench import generate

TINY = {
    "vocab_size": 100, "hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 512,
}  # fmt: skip
LINES = [
    generate.GenerateLine(2, 40, cache, padded=padded)
    for cache in ("dynamic", "static")
    for padded in (False, True)
]


def test_every_line_is_measured(
    flashdec_command: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pytest.importorskip("torch")
    pytest.importorskip("transformers")
    monkeypatch.setitem(generate.SHAPES, "cpu", TINY)
    monkeypatch.setattr("flashdec.cli.bench_generate.lines_for", lambda device: LINES)
    ran = flashdec_command("bench", "--generate", "--json", str(tmp_path / "out.json"))
    assert ran.status == 0, ran.err
    document = json.loads((tmp_path / "out.json").read_text())
    assert document["schema"] == "flashdec-bench-generate/1"
    assert [each["padded"] for each in document["lines"]] == [False, True, False, True]
    for each, line in zip(document["lines"], LINES, strict=True):
        assert set(each["seconds"]) == set(generate.CONTENDERS)
        assert str(line) in ran.out


def test_fewer_layers_where_the_cache_would_be_too_large() -> None:
    by_size = {
        (line.batch, line.context): generate._layers(line, "cuda")
        for line in generate.lines_for("cuda")
    }
    assert by_size[1, 32768] == 32
    assert by_size[32, 32768] == 4


def test_an_unknown_device_is_refused(flashdec_command: Callable[..., Any]) -> None:
    ran = flashdec_command("bench", "--generate", "--device", "tpu")
    assert ran.status == 2
    assert "tpu" in ran.err
