"""What the demo refuses, each with a sentence that names the value."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("gguf", reason="the demo reads models with the gguf package")

from tiny_gguf import byte_pair_model, sentence_piece_model

from llama.attention import DecodeAttention
from llama.kv_cache import PagedCache
from llama.loading import load
from llama.options import parse_options
from llama.refusal import Refusal

METADATA = [
    ("general.architecture", "qwen2", 'architecture of tiny.gguf is "qwen2"'),
    ("llama.expert_count", 8, "llama.expert_count is 8"),
    ("llama.attention.sliding_window", 4096, "llama.attention.sliding_window is 4096"),
    ("llama.rope.scaling.type", "yarn", 'llama.rope.scaling.type is "yarn"'),
    ("llama.rope.dimension_count", 10, "llama.rope.dimension_count is 10"),
    ("llama.attention.head_count_kv", 3, "4 query heads cannot share 3"),
    ("llama.attention.head_count_kv", 0, "kv_heads is 0"),
    ("llama.block_count", "two", "llama.block_count is str"),
    ("llama.block_count", 3, "no tensor blk.2.attn_norm.weight"),
    ("llama.block_count", 1, "tensor blk.1.attn_k.weight, which this demo has no use for"),
    ("llama.feed_forward_length", 96, "blk.0.ffn_gate.weight has shape"),
    ("split.count", 4, "is one of 4 parts"),
    ("tokenizer.ggml.model", "bert", 'tokenizer.ggml.model is "bert"'),
    ("tokenizer.ggml.pre", "tekken", 'tokenizer.ggml.pre is "tekken"'),
    ("tokenizer.ggml.eos_token_id", 9999, "tokenizer.ggml.eos_token_id is 9999"),
    ("tokenizer.ggml.token_type", [1, 1], "tokenizer.ggml.token_type has 2 entries"),
    ("tokenizer.ggml.tokens", ["a", "b"], "has 2 tokens"),
]


@pytest.mark.parametrize(("key", "value", "sentence"), METADATA)
def test_metadata(tmp_path, key, value, sentence):
    model = byte_pair_model()
    model.metadata[key] = value
    if key == "tokenizer.ggml.tokens":
        del (
            model.metadata["tokenizer.ggml.token_type"],
            model.metadata["tokenizer.ggml.eos_token_id"],
        )
    with pytest.raises(Refusal) as refused:
        load(model.write(tmp_path / "tiny.gguf"))
    assert sentence in str(refused.value)


@pytest.mark.parametrize(
    "key", ["llama.attention.layer_norm_rms_epsilon", "tokenizer.ggml.pre", "tokenizer.ggml.tokens"]
)
def test_missing_metadata(tmp_path, key):
    model = byte_pair_model()
    del model.metadata[key]
    with pytest.raises(Refusal, match=f"has no {key}"):
        load(model.write(tmp_path / "tiny.gguf"))


def test_missing_scores(tmp_path):
    model = sentence_piece_model()
    model.metadata["tokenizer.ggml.scores"] = [0.0]
    with pytest.raises(Refusal, match="has 1 entries"):
        load(model.write(tmp_path / "tiny.gguf"))


def test_unknown_tensor(tmp_path):
    model = byte_pair_model()
    model.tensors["blk.0.attn_q_norm.weight"] = np.ones(8, np.float32)
    with pytest.raises(Refusal, match=r"attn_q_norm\.weight, which this demo has no use for"):
        load(model.write(tmp_path / "tiny.gguf"))


def test_not_a_model(tmp_path):
    with pytest.raises(Refusal, match="is not a file"):
        load(tmp_path / "none.gguf")
    (tmp_path / "text.gguf").write_text("x" * 100)
    with pytest.raises(Refusal, match="cannot be read as GGUF"):
        load(tmp_path / "text.gguf")
    whole = byte_pair_model().write(tmp_path / "whole.gguf").read_bytes()
    for length in (0, 3, 20, 1000, len(whole) - 2000):
        (tmp_path / "cut.gguf").write_bytes(whole[:length])
        with pytest.raises(Refusal, match="cannot be read as GGUF"):
            load(tmp_path / "cut.gguf")


def test_a_byte_without_a_token(tmp_path):
    model = byte_pair_model()
    tokens = model.metadata["tokenizer.ggml.tokens"]
    tokens[tokens.index("Č")] = "(another)"  # what stands for the byte 0x0c
    tokenizer = load(model.write(tmp_path / "tiny.gguf")).tokenizer
    assert tokenizer.encode("plain")
    with pytest.raises(Refusal, match=r"'\\x0c' cannot be said in this model's tokens: none is b"):
        tokenizer.encode("\x0c")


def test_a_head_that_flashdec_has_no_kernel_for(tmp_path):
    model = load(byte_pair_model().write(tmp_path / "tiny.gguf")).model
    model.sizes = replace(model.sizes, head_dim=264)
    with pytest.raises(Refusal, match="flashdec has no kernel for this model: head_dim is 264"):
        DecodeAttention(model, PagedCache(model.sizes, 10))


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--tokens", "0"),
        ("--temperature", "-1"),
        ("--temperature", "nan"),
        ("--seed", "-1"),
        ("--threads", "-1"),
        ("--threads", "1025"),
        ("--prompt", ""),
    ],
)
def test_options(option, value):
    with pytest.raises(Refusal, match=option):
        parse_options(["--model", "x.gguf", option, value])


def test_too_long_for_the_model(tmp_path):
    path = byte_pair_model().write(tmp_path / "tiny.gguf")
    command = [sys.executable, "-m", "llama", "--model", path, "--tokens", "128"]
    examples = Path(__file__).parents[2] / "examples"
    done = subprocess.run(command, cwd=examples, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2
    assert "the model was trained for 128" in done.stderr
    assert "Traceback" not in done.stderr
