"""Small problems and arrays for the tests of the Python objects."""

from __future__ import annotations

from typing import Any

import numpy as np
from scene import PROBLEM

import flashdec

ON_CPU = flashdec.PlanPreference(prefer_backend="cpu")


def select(**changes: Any) -> flashdec.Plan:
    return flashdec.Plan.select(flashdec.Descriptor(**{**PROBLEM, **changes}), ON_CPU)


def make_args(seed: int = 0, **changes: Any) -> flashdec.Args:
    random = np.random.default_rng(seed)
    arrays = {
        "q": random.standard_normal((2, 4, 16), np.float32),
        "k": random.standard_normal((2, 600, 2, 16), np.float32),
        "v": random.standard_normal((2, 600, 2, 24), np.float32),
        "o": np.zeros((2, 4, 24), np.float32),
    }
    return flashdec.Args(**{**arrays, **changes})


def make_arrays(paged: bool = False) -> dict[str, Any]:
    blocks = (160, 8) if paged else (2, 600)
    arrays = {
        "q": np.ones((2, 4, 16), np.float32),
        "k": np.ones((*blocks, 2, 16), np.float32),
        "v": np.ones((*blocks, 2, 24), np.float32),
        "o": np.full((2, 4, 24), 7, np.float32),
        "lse": np.full((2, 4), 7, np.float32),
        "kv_len": np.full(2, 600, np.int32),
        "status": np.full(1, 7, np.uint32),
    }
    if paged:
        arrays["page_table"] = np.arange(150, dtype=np.int32).reshape(2, 75)
    return arrays
