"""The Llama forward pass in numpy, cut where attention goes in.

A block is ``project`` (norm, queries, keys, values, RoPE), then attention by whoever calls, then
``finish`` (output projection, feed-forward). So prefill, decode and the float64 check share it
and differ in the attention alone.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from .bf16 import F32
from .hyperparameters import Hyperparameters
from .weights import Weights

Rotation = tuple[F32, F32]  # cosines and sines, [tokens, 1, pairs]


class Llama:
    """A loaded model. Activations are ``[tokens, embedding]`` float32; nothing is kept in it."""

    def __init__(self, sizes: Hyperparameters, weights: Weights) -> None:
        self.sizes = sizes
        self._weights = weights
        pair = np.arange(sizes.rope_dim // 2, dtype=np.float64)
        frequencies = sizes.rope_base ** (-2.0 * pair / sizes.rope_dim)
        self._frequencies = frequencies / (weights.rope_divisors * sizes.rope_slowdown)

    @property
    def vocabulary(self) -> int:
        """The number of different tokens."""
        return int(self._weights.embedding.shape[0])

    def embed(self, tokens: npt.ArrayLike) -> F32:
        """Return the activations that enter the first block."""
        rows: F32 = self._weights.embedding[np.asarray(tokens)]
        return rows

    def rotation(self, positions: npt.ArrayLike) -> Rotation:
        """Return what ``project`` turns queries and keys by; one serves every layer of a step."""
        angles = np.asarray(positions)[:, None, None] * self._frequencies
        return np.cos(angles).astype(np.float32), np.sin(angles).astype(np.float32)

    def project(self, layer: int, x: F32, rotation: Rotation) -> tuple[F32, F32, F32]:
        """Return queries ``[tokens, q_heads, …]``, keys and values ``[tokens, kv_heads, …]``."""
        sizes, weights = self.sizes, self._weights.layers[layer]
        rows = weights.qkv(_rms_norm(x, weights.attention_norm, sizes.norm_epsilon))
        end_q = sizes.q_heads * sizes.head_dim
        end_k = end_q + sizes.kv_heads * sizes.head_dim
        tokens = len(x)
        q = rows[:, :end_q].reshape(tokens, sizes.q_heads, sizes.head_dim)
        k = rows[:, end_q:end_k].reshape(tokens, sizes.kv_heads, sizes.head_dim)
        v = rows[:, end_k:].reshape(tokens, sizes.kv_heads, sizes.head_dim_v)
        return _rotate(q, rotation), _rotate(k, rotation), v

    def finish(self, layer: int, x: F32, attended: F32) -> F32:
        """Return the block's output; ``attended`` is ``[tokens, q_heads, head_dim_v]``."""
        weights = self._weights.layers[layer]
        x = x + weights.attention_output(attended.reshape(len(x), -1))
        gate_up = weights.gate_up(_rms_norm(x, weights.feed_forward_norm, self.sizes.norm_epsilon))
        gate, up = np.split(gate_up, 2, axis=1)
        return x + weights.down(gate * _sigmoid(gate) * up)

    def logits(self, x: F32) -> F32:
        """``[tokens, vocabulary]``."""
        normed = _rms_norm(x, self._weights.output_norm, self.sizes.norm_epsilon)
        result: F32 = normed @ self._weights.output.T
        return result


def _rms_norm(x: F32, weight: F32, epsilon: float) -> F32:
    mean_square = np.einsum("te,te->t", x, x)[:, None] / np.float32(x.shape[1])
    result: F32 = x * (weight / np.sqrt(mean_square + np.float32(epsilon)))
    return result


def _sigmoid(x: F32) -> F32:
    # By tanh, which cannot overflow.
    result: F32 = np.float32(0.5) * (np.float32(1.0) + np.tanh(np.float32(0.5) * x))
    return result


def _rotate(rows: F32, rotation: Rotation) -> F32:
    """Turn each pair of neighbouring elements by its angle.

    GGUF stores the query and key rows of a Llama permuted, so that the two elements of a pair are
    neighbours, where the original checkpoint has them half a head apart.
    """
    cosine, sine = rotation
    rope_dim = 2 * cosine.shape[-1]
    even, odd = rows[..., 0:rope_dim:2], rows[..., 1:rope_dim:2]
    turned: F32 = rows.copy()
    turned[..., 0:rope_dim:2] = even * cosine - odd * sine
    turned[..., 1:rope_dim:2] = even * sine + odd * cosine
    return turned
