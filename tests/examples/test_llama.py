"""The demo on a tiny random model: it runs, and its check sees what is wrong."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("gguf", reason="the demo reads models with the gguf package")

from tiny_gguf import TinyGguf, byte_pair_model, sentence_piece_model

from llama.bf16 import F32, Bits, to_bits, to_float32
from llama.check import Verdict, check
from llama.decoder import Decoder
from llama.kv_cache import PagedCache
from llama.loading import load
from llama.model import Llama
from llama.prefill import prefill
from llama.sampling import Sampler

PROMPT = list(range(20, 45))  # more than a page
TOKENS = 30
MODELS = [byte_pair_model, sentence_piece_model]


def ignore(units: int) -> None:
    """Take progress and do nothing."""


class Run:
    """A model, its cache and decoder, after ``TOKENS`` greedy tokens."""

    def __init__(self, model: Llama, corrupt: Corrupted | None = None, stop=()) -> None:
        self.model = model
        self.cache = PagedCache(model.sizes, len(PROMPT) + TOKENS)
        prefill(model, self.cache, PROMPT[:-1], ignore)
        self.decoder = Decoder(model, self.cache)
        if corrupt:
            corrupt.inner = self.decoder.attention
            self.decoder.attention = corrupt
        self.tokens = list(self.decoder.generate(PROMPT[-1], TOKENS, stop, Sampler(0, 0)))

    def check(self) -> Verdict:
        return check(self.model, self.cache, self.decoder.trace, ignore)


class Corrupted:
    """flashdec with a fault: ``spoil`` changes the bits of an output in place."""

    def __init__(self, spoil) -> None:
        self.inner = None
        self.spoil = spoil

    @property
    def q(self) -> Bits:
        return self.inner.q

    @property
    def o(self) -> Bits:
        return self.inner.o

    def __call__(self, layer: int, q: F32) -> F32:
        self.inner(layer, q)
        self.spoil(self.inner.o)
        return to_float32(self.inner.o)


def tiny(tmp_path: Path, model: TinyGguf) -> Llama:
    return load(model.write(tmp_path / "tiny.gguf")).model


@pytest.mark.parametrize("make", MODELS)
def test_generates_and_passes_its_check(tmp_path, make):
    run = Run(tiny(tmp_path, make()))
    verdict = run.check()
    assert len(run.tokens) == verdict.steps == TOKENS
    assert verdict.elements == TOKENS * 2 * 4 * 8
    assert verdict.ok
    assert verdict.worst > 0.1, "rounding to bfloat16 alone takes most of the bound"


def test_decode_continues_prefill(tmp_path):
    """Prefilling what was generated fills the cache with what decoding left there."""
    run = Run(tiny(tmp_path, byte_pair_model()))
    again = PagedCache(run.model.sizes, len(PROMPT) + TOKENS, seed=5, page_size=7)
    prefill(run.model, again, [*PROMPT, *run.tokens[:-1]], ignore)
    for layer in range(run.model.sizes.layers):
        for ours, theirs in zip(run.cache.read(layer), again.read(layer), strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=2**-5, atol=2**-5)


def test_a_stop_token_ends_the_text(tmp_path):
    llama = tiny(tmp_path, byte_pair_model())
    tokens = Run(llama).tokens
    stopped = Run(llama, stop=[tokens[9]]).tokens
    assert stopped == tokens[: tokens.index(tokens[9])]


def test_sampling():
    logits = np.array([1000.0, 1001.0, -np.inf, 990.0], np.float32)
    assert Sampler(0, 0)(logits) == 1
    drawn = [Sampler(1.0, seed)(logits) for seed in range(400)]
    assert drawn == [Sampler(1.0, seed)(logits) for seed in range(400)]
    share = np.bincount(drawn, minlength=4) / 400
    np.testing.assert_allclose(share, [0.269, 0.731, 0, 0], atol=0.08)


def off_by_two(bits: Bits) -> None:
    """Two units in the last place, in the largest element."""
    bits.flat[np.abs(to_float32(bits)).argmax()] += 2


def nan(bits: Bits) -> None:
    """One NaN."""
    bits.flat[3] = 0x7FC0


def swapped_heads(bits: Bits) -> None:
    """Two heads of a group exchanged."""
    bits[0, [0, 1]] = bits[0, [1, 0]]


@pytest.mark.parametrize("spoil", [off_by_two, nan, swapped_heads])
def test_check_sees_wrong_attention(tmp_path, spoil):
    assert not Run(tiny(tmp_path, byte_pair_model()), Corrupted(spoil)).check().ok


def test_check_sees_a_token_left_out(tmp_path):
    run = Run(tiny(tmp_path, byte_pair_model()))
    run.decoder.trace.lengths[7] -= 1
    assert not run.check().ok


def test_check_sees_another_argmax(tmp_path):
    run = Run(tiny(tmp_path, byte_pair_model()))
    run.decoder.trace.argmax[3] += 1
    verdict = run.check()
    assert verdict.worst <= 1
    assert (verdict.differing, verdict.ties) == (1, 0)
    assert not verdict.ok


def test_check_excuses_a_tie(tmp_path):
    """Every token has a twin with the same logit, so the largest two always tie."""
    model = byte_pair_model()
    embedding = model.tensors["token_embd.weight"]
    half = len(embedding) // 2
    embedding[half : 2 * half] = embedding[:half]
    run = Run(tiny(tmp_path, model))
    top = run.decoder.trace.argmax[3]
    run.decoder.trace.argmax[3] = top + half if top < half else top - half
    verdict = run.check()
    assert (verdict.differing, verdict.ties) == (1, 1)
    assert verdict.ok


def test_pages_are_scattered_and_unused_slots_poisoned(tmp_path):
    run = Run(tiny(tmp_path, byte_pair_model()))
    used = -(-run.cache.length[0] // run.cache.page_size)
    table = run.cache.page_table[0]
    assert len(set(table[:used])) == used
    assert (np.abs(np.diff(table[:used])) != 1).any()
    assert (table[used:] == -1).all()
    free = np.setdiff1d(np.arange(run.cache.num_pages), table[:used])
    assert np.isnan(to_float32(run.cache.keys[0][free])).all()


def test_bf16_rounds_to_nearest_even():
    bfloat16 = pytest.importorskip("ml_dtypes").bfloat16
    special = [0, -0.0, 1 + 2**-8, 1 + 3 * 2**-8, 3.4e38, np.inf, -np.inf, 1e-40, 2**-133]
    random = np.random.default_rng(0).normal(size=1000)
    values = np.array([*special, *random], np.float32)
    np.testing.assert_array_equal(to_bits(values), values.astype(bfloat16).view(np.uint16))
    assert np.isnan(to_float32(to_bits(np.array([np.nan], np.float32))))


def test_command_line(tmp_path):
    path = sentence_piece_model().write(tmp_path / "tiny.gguf")
    command = [sys.executable, "-m", "llama", "--model", path, "--prompt", "the", "--tokens", "5"]
    examples = Path(__file__).parents[2] / "examples"
    done = subprocess.run(
        command, cwd=examples, capture_output=True, text=True, encoding="utf-8", timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("the")
    assert "tokens/s" in done.stderr
    assert done.stderr.rstrip().endswith("OK")
