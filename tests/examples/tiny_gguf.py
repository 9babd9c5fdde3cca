"""Writes a tiny llama-architecture GGUF with random weights."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from gguf import GGMLQuantizationType, GGUFWriter, TokenType
from gguf.quants import quantize

LAYERS, EMBEDDING, WIDE, Q_HEADS, KV_HEADS, HEAD_DIM = 2, 32, 64, 4, 2, 8
CONTEXT = 128

_BYTE_LETTERS = [
    *map(chr, (*range(33, 127), *range(161, 173), *range(174, 256))),
    *map(chr, range(256, 324)),
]
_CHATML = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
)


@dataclass
class TinyGguf:
    """What goes into the file; tests change it before ``write``."""

    metadata: dict[str, Any] = field(default_factory=dict)
    tensors: dict[str, np.ndarray] = field(default_factory=dict)
    types: dict[str, GGMLQuantizationType] = field(default_factory=dict)

    def write(self, path: Path) -> Path:
        """Write it and return ``path``."""
        metadata = dict(self.metadata)
        writer = GGUFWriter(path, metadata.pop("general.architecture"))
        for key, value in metadata.items():
            _add(writer, key, value)
        for name, values in self.tensors.items():
            kind = self.types.get(name, GGMLQuantizationType.F32)
            writer.add_tensor(name, quantize(values, kind), raw_dtype=kind)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        return path


def byte_pair_model(seed: int = 0) -> TinyGguf:
    """Return a model with GPT-2's kind of tokenizer and ChatML tokens."""
    merges = ["t h", "th e", "i n", "Ġ the", "Ġ a", "h e"]
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    tokens = [*special, *_BYTE_LETTERS, *(merge.replace(" ", "") for merge in merges)]
    model = _model(len(tokens), seed)
    model.metadata |= {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "smollm",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.merges": merges,
        "tokenizer.ggml.token_type": [3] * len(special) + [1] * (len(tokens) - len(special)),
        "tokenizer.ggml.eos_token_id": 2,
        "tokenizer.chat_template": _CHATML,
    }
    return model


def sentence_piece_model(seed: int = 0) -> TinyGguf:
    """Return a model with SentencePiece's kind of tokenizer, which falls back to bytes."""
    pieces = ["▁", "t", "h", "e", "a", "th", "the", "▁the", "he", "ea"]
    tokens = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), *pieces]
    kinds = [TokenType.UNKNOWN, TokenType.CONTROL, TokenType.CONTROL]
    kinds += [TokenType.BYTE] * 256 + [TokenType.NORMAL] * len(pieces)
    model = _model(len(tokens), seed)
    model.metadata |= {
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.scores": [-float(number) for number in range(len(tokens))],
        "tokenizer.ggml.token_type": [int(kind) for kind in kinds],
        "tokenizer.ggml.bos_token_id": 1,
        "tokenizer.ggml.eos_token_id": 2,
    }
    return model


def _model(vocabulary: int, seed: int) -> TinyGguf:
    random = np.random.default_rng(seed)

    def matrix(rows: int, columns: int) -> np.ndarray:
        return random.normal(0, columns**-0.5, (rows, columns)).astype(np.float32)

    model = TinyGguf(metadata=_sizes())
    model.tensors["token_embd.weight"] = random.normal(size=(vocabulary, EMBEDDING)).astype("f4")
    model.tensors["output_norm.weight"] = np.ones(EMBEDDING, np.float32)
    for layer in range(LAYERS):
        shapes = {
            "attn_q": (Q_HEADS * HEAD_DIM, EMBEDDING),
            "attn_k": (KV_HEADS * HEAD_DIM, EMBEDDING),
            "attn_v": (KV_HEADS * HEAD_DIM, EMBEDDING),
            "attn_output": (EMBEDDING, Q_HEADS * HEAD_DIM),
            "ffn_gate": (WIDE, EMBEDDING),
            "ffn_up": (WIDE, EMBEDDING),
            "ffn_down": (EMBEDDING, WIDE),
        }
        for name, shape in shapes.items():
            model.tensors[f"blk.{layer}.{name}.weight"] = matrix(*shape)
        for name in ("attn_norm", "ffn_norm"):
            model.tensors[f"blk.{layer}.{name}.weight"] = np.ones(EMBEDDING, np.float32)
    # One of each family of storage: whole, half, quantised in blocks.
    model.types["blk.0.ffn_up.weight"] = GGMLQuantizationType.F16
    model.types["blk.1.ffn_down.weight"] = GGMLQuantizationType.Q8_0
    return model


def _sizes() -> dict[str, Any]:
    return {
        "general.architecture": "llama",
        "llama.block_count": LAYERS,
        "llama.context_length": CONTEXT,
        "llama.embedding_length": EMBEDDING,
        "llama.feed_forward_length": WIDE,
        "llama.attention.head_count": Q_HEADS,
        "llama.attention.head_count_kv": KV_HEADS,
        "llama.attention.layer_norm_rms_epsilon": 1e-5,
    }


def _add(writer: GGUFWriter, key: str, value: Any) -> None:
    if isinstance(value, bool):
        writer.add_bool(key, value)
    elif isinstance(value, int):
        writer.add_uint32(key, value)
    elif isinstance(value, float):
        writer.add_float32(key, value)
    elif isinstance(value, str):
        writer.add_string(key, value)
    else:
        writer.add_array(key, value)
