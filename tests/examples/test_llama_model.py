"""The forward pass against a plain float64 Llama, written as the original checkpoints have it."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("gguf", reason="the demo reads models with the gguf package")

from tiny_gguf import HEAD_DIM, KV_HEADS, LAYERS, Q_HEADS, TinyGguf, byte_pair_model

from llama.kv_cache import PagedCache
from llama.loading import load
from llama.prefill import prefill

TOKENS = np.arange(30, 70)


def plain_llama(model: TinyGguf, tokens: np.ndarray, divisors: np.ndarray) -> np.ndarray:
    """Return the logits ``[tokens, vocabulary]``; one head at a time, RoPE on half heads."""
    weights = {name: tensor.astype(np.float64) for name, tensor in model.tensors.items()}
    angles = np.arange(len(tokens))[:, None] * 10000.0 ** (-np.arange(0, HEAD_DIM, 2) / HEAD_DIM)
    angles = angles / divisors
    cosine, sine = np.cos(np.tile(angles, 2)), np.sin(np.tile(angles, 2))

    def norm(x: np.ndarray, name: str) -> np.ndarray:
        return x / np.sqrt((x**2).mean(axis=1, keepdims=True) + 1e-5) * weights[name]

    def head(x: np.ndarray, name: str, index: int, rotate: bool) -> np.ndarray:
        rows = weights[name][index * HEAD_DIM : (index + 1) * HEAD_DIM]
        if not rotate:
            return x @ rows.T
        y = x @ np.concatenate([rows[0::2], rows[1::2]]).T  # undo GGUF's permutation
        first, second = np.split(y, 2, axis=1)
        return y * cosine + np.concatenate([-second, first], axis=1) * sine

    x = weights["token_embd.weight"][tokens]
    for layer in range(LAYERS):
        blk = f"blk.{layer}."
        y = norm(x, blk + "attn_norm.weight")
        heads = []
        for index in range(Q_HEADS):
            group = index // (Q_HEADS // KV_HEADS)
            q = head(y, blk + "attn_q.weight", index, True)
            k = head(y, blk + "attn_k.weight", group, True)
            v = head(y, blk + "attn_v.weight", group, False)
            scores = np.where(np.tri(len(x)), q @ k.T / np.sqrt(HEAD_DIM), -np.inf)
            p = np.exp(scores - scores.max(axis=1, keepdims=True))
            heads.append(p / p.sum(axis=1, keepdims=True) @ v)
        x = x + np.concatenate(heads, axis=1) @ weights[blk + "attn_output.weight"].T
        y = norm(x, blk + "ffn_norm.weight")
        gate = y @ weights[blk + "ffn_gate.weight"].T
        up = y @ weights[blk + "ffn_up.weight"].T
        x = x + (gate / (1 + np.exp(-gate)) * up) @ weights[blk + "ffn_down.weight"].T
    return (
        norm(x, "output_norm.weight") @ weights.get("output.weight", weights["token_embd.weight"]).T
    )


@pytest.mark.parametrize("variant", ["tied", "untied", "long context"])
def test_logits_are_those_of_a_plain_llama(tmp_path, monkeypatch, variant):
    model = byte_pair_model()
    model.types.clear()  # float32 throughout: the difference is then rounding alone
    random = np.random.default_rng(1)
    divisors = np.ones(HEAD_DIM // 2)
    if variant == "untied":
        shape = model.tensors["token_embd.weight"].shape
        model.tensors["output.weight"] = random.normal(size=shape).astype(np.float32)
    if variant == "long context":
        divisors = np.array([1.0, 1.0, 3.0, 8.0])
        model.tensors["rope_freqs.weight"] = divisors.astype(np.float32)
        model.metadata |= {
            "llama.rope.scaling.type": "linear",
            "llama.rope.scaling.factor": 2.0,
        }
        divisors = 2 * divisors
    llama = load(model.write(tmp_path / "tiny.gguf")).model
    logits = prefill_logits(monkeypatch, llama)
    expected = plain_llama(model, TOKENS, divisors)
    np.testing.assert_allclose(logits, expected, atol=1e-4)


def prefill_logits(monkeypatch, llama):
    """Return the logits of a prefill whose cache does not round."""
    kept = {}
    cache = PagedCache(llama.sizes, len(TOKENS))
    monkeypatch.setattr(cache, "write", lambda layer, _, k, v: kept.update({layer: (k, v)}))
    monkeypatch.setattr(cache, "read", lambda layer: kept[layer])
    finish, last = llama.finish, []
    monkeypatch.setattr(llama, "finish", lambda *step: last.append(finish(*step)) or last[-1])
    prefill(llama, cache, TOKENS.tolist(), lambda _: None)
    return llama.logits(last[-1])
