"""The decode loop."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator

import numpy as np

from .attention import DecodeAttention
from .bf16 import F32
from .kv_cache import PagedCache
from .model import Llama
from .trace import Trace


class Decoder:
    """Decodes token by token over a cache that already holds the prompt but for its last token.

    Attributes
    ----------
    attention
        flashdec, with its running totals.
    trace
        What went in and out of flashdec, for the check.
    """

    def __init__(self, model: Llama, cache: PagedCache, threads: int = 0) -> None:
        self.attention = DecodeAttention(model, cache, threads)
        self.trace = Trace()
        self._model = model
        self._cache = cache

    def step(self, token: int) -> F32:
        """Append ``token`` to the cache and return the logits ``[vocabulary]`` of what follows."""
        model, trace = self._model, self.trace
        positions = self._cache.extend(1)
        rotation = model.rotation(positions)
        x = model.embed([token])
        queries, outputs = [], []
        for layer in range(model.sizes.layers):
            q, k, v = model.project(layer, x, rotation)
            self._cache.write(layer, positions, k, v)
            x = model.finish(layer, x, self.attention(layer, q))
            queries.append(self.attention.q[0].copy())
            outputs.append(self.attention.o[0].copy())
        logits: F32 = model.logits(x)[0]
        trace.tokens.append(token)
        trace.lengths.append(int(self._cache.length[0]))
        trace.queries.append(np.stack(queries))
        trace.outputs.append(np.stack(outputs))
        trace.argmax.append(int(logits.argmax()))
        return logits

    def generate(
        self, last: int, limit: int, stop: Collection[int], choose: Callable[[F32], int]
    ) -> Iterator[int]:
        """Yield up to ``limit`` tokens, each chosen from its logits by ``choose``.

        ``last`` is the prompt's last token. It is left to the first step, so that every token that
        comes out has gone through flashdec. A token of ``stop`` ends the text and is not yielded.
        """
        for _ in range(limit):
            last = choose(self.step(last))
            if last in stop:
                return
            yield last
