"""Fill the cache from the prompt, many tokens at a time.

This is not the job of a decode library, so numpy does it, in float32, on the keys and values as
the cache has rounded them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from .bf16 import F32
from .kv_cache import PagedCache
from .model import Llama

# Tokens taken at a time: enough for the matrix products, few enough that the scores stay small.
_BLOCK = 128


def prefill(
    model: Llama, cache: PagedCache, tokens: Sequence[int], progress: Callable[[int], None]
) -> None:
    """Run ``tokens`` through the model for their keys and values alone.

    ``progress`` is called after each block with the number of tokens in it.
    """
    for first in range(0, len(tokens), _BLOCK):
        block = tokens[first : first + _BLOCK]
        positions = cache.extend(len(block))
        rotation = model.rotation(positions)
        x = model.embed(block)
        for layer in range(model.sizes.layers):
            q, k, v = model.project(layer, x, rotation)
            cache.write(layer, positions, k, v)
            x = model.finish(layer, x, _causal_attention(q, *cache.read(layer)))
        progress(len(block))


def _causal_attention(q: F32, k: F32, v: F32) -> F32:
    """Attention of the last ``len(q)`` tokens of the cache, each to those up to itself."""
    tokens, q_heads, head_dim = q.shape
    length, kv_heads = k.shape[:2]
    queries = (q / np.float32(np.sqrt(head_dim))).reshape(tokens, kv_heads, -1, head_dim)
    scores = np.matmul(
        queries.transpose(1, 2, 0, 3).reshape(kv_heads, -1, head_dim), k.transpose(1, 2, 0)
    ).reshape(kv_heads, -1, tokens, length)
    last = np.arange(length - tokens, length)
    scores[..., np.arange(length) > last[:, None]] = -np.inf
    p = np.exp(scores - scores.max(axis=-1, keepdims=True))
    p /= p.sum(axis=-1, keepdims=True)
    o = np.matmul(p.reshape(kv_heads, -1, length), v.transpose(1, 0, 2))
    o = o.reshape(kv_heads, -1, tokens, v.shape[2]).transpose(2, 0, 1, 3)
    result: F32 = o.reshape(tokens, q_heads, v.shape[2])
    return result
