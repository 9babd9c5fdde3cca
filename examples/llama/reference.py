"""Decode attention in float64, and how far flashdec may be from it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from .bf16 import F32

F64 = npt.NDArray[np.float64]
Lengths = npt.NDArray[np.int64]


def exact_attention(q: F32, k: F32, v: F32, lengths: Lengths) -> tuple[F64, F64]:
    """Attention of many decode steps over one cache, and its error bound.

    Parameters
    ----------
    q
        ``[steps, q_heads, head_dim]``, the queries as flashdec read them.
    k, v
        ``[tokens, kv_heads, …]``, the cache as flashdec read it.
    lengths
        ``[steps]``: step i sees the first ``lengths[i]`` tokens.

    Returns
    -------
    exact, bound
        ``[steps, q_heads, head_dim_v]`` float64: the outputs, and for each of them rule 7 of
        flashdec.h for bfloat16 on the CPU, where u is 0 (no tensor cores round the probabilities):
        0.625 ulp(o) + (2^-20 + 2^-21 S) Σ p|v|, with S = max |scale| Σ |q k|.
    """
    steps, q_heads, head_dim = q.shape
    kv_heads = k.shape[1]
    queries = q.astype(np.float64).reshape(steps, kv_heads, -1, head_dim)
    values = v.astype(np.float64)
    scores = np.einsum("ngid,tgd->ngit", queries, k.astype(np.float64), optimize=True)
    scores /= np.sqrt(head_dim)
    live = (np.arange(len(k)) < lengths[:, None])[:, None, None, :]
    sizes = np.einsum("ngid,tgd->ngit", np.abs(queries), np.abs(k.astype(np.float64)))
    sizes /= np.sqrt(head_dim)
    largest = np.where(live, sizes, 0.0).max(axis=-1, keepdims=True)
    scores = np.where(live, scores, -np.inf)
    p = np.exp(scores - scores.max(axis=-1, keepdims=True))
    p /= p.sum(axis=-1, keepdims=True)
    exact = np.einsum("ngit,tgd->ngid", p, values, optimize=True)
    weight = np.einsum("ngit,tgd->ngid", p, np.abs(values), optimize=True)
    bound = 0.625 * bfloat16_ulp(exact) + (2.0**-20 + 2.0**-21 * largest) * weight
    shape = (steps, q_heads, v.shape[2])
    return exact.reshape(shape), bound.reshape(shape)


def bfloat16_ulp(x: F64) -> F64:
    """Return the distance between bfloat16 numbers at the size of ``x``."""
    _, exponent = np.frexp(np.abs(x))
    # frexp's mantissa is in [0.5, 1), and 8 bits of it are kept; -126 is the least exponent.
    ulp: F64 = np.ldexp(1.0, np.maximum(exponent - 1, -126) - 7)
    return ulp
