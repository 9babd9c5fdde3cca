"""From logits to the next token."""

from __future__ import annotations

import numpy as np

from .bf16 import F32


class Sampler:
    """Greedy at temperature 0, else softmax sampling from a seeded generator."""

    def __init__(self, temperature: float, seed: int) -> None:
        self._temperature = temperature
        self._random = np.random.default_rng(seed)

    def __call__(self, logits: F32) -> int:
        """Choose from ``logits [vocabulary]``."""
        if self._temperature == 0:
            return int(logits.argmax())
        scaled = logits.astype(np.float64) / self._temperature
        p = np.exp(scaled - scaled.max())
        return int(self._random.choice(len(p), p=p / p.sum()))
