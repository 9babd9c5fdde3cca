"""``flashdec bench --generate``: a model of transformers."""

from __future__ import annotations

import argparse
import json
from typing import Any

from flashdec.bench.generate import CONTENDERS, SHAPES, GenerateResult, lines_for, measure_generate
from flashdec.bench.machine import machine
from flashdec.cli.bench_output import say, write_document

__all__ = ["run"]

SCHEMA = "flashdec-bench-generate/1"


def run(options: argparse.Namespace, device: str) -> int:
    """Measure and report; return 0."""
    where = _where(device)
    shape = SHAPES[device]
    say(
        options,
        f"a decode step of a model on {where}, bfloat16, random weights: hidden size "
        f"{shape['hidden_size']}, {shape['num_attention_heads']} query heads, "
        f"{shape['num_key_value_heads']} key/value heads; tokens per second\n",
    )
    say(options, f"{'':44s}{'layers':>7s}{'fdec':>10s}{'sdpa':>10s}{'fdec/sdpa':>11s}")
    results = []
    for line in lines_for(device):
        result = measure_generate(line, device)
        results.append(result)
        fdec, sdpa = (result.tokens_per_second(name) for name in CONTENDERS)
        say(
            options,
            f"{line!s:44s}{result.layers:7d}{fdec:10.1f}{sdpa:10.1f}{fdec / sdpa:11.2f}",
        )
    write_document(options, json.dumps(_to_json(where, shape, results), indent=2))
    return 0


def _where(device: str) -> str:
    import torch

    if device == "cuda":
        return str(torch.cuda.get_device_name())
    return f"{machine().cpu}, {torch.get_num_threads()} threads"


def _to_json(where: str, shape: dict[str, Any], results: list[GenerateResult]) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "device": where,
        "model": shape,
        "lines": [
            {
                "batch": each.line.batch,
                "context": each.line.context,
                "cache": each.line.cache,
                "compiled": each.line.compiled,
                "padded": each.line.padded,
                "layers": each.layers,
                "seconds": each.seconds,
            }
            for each in results
        ],
    }
