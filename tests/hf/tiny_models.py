"""Small random models; whoever imports this is skipped where there are no transformers."""

from __future__ import annotations

from typing import Any

import pytest

torch: Any = pytest.importorskip("torch")
transformers: Any = pytest.importorskip("transformers")
hf: Any = pytest.importorskip("flashdec.hf", exc_type=ImportError)

hf.register()

SHAPE = {
    "vocab_size": 512, "hidden_size": 128, "intermediate_size": 256, "num_hidden_layers": 3,
    "num_attention_heads": 8, "num_key_value_heads": 2, "head_dim": 32,
    "max_position_embeddings": 512, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": None,
    "initializer_range": 0.2,
}  # fmt: skip
CONFIGS = {
    "llama": ("LlamaConfig", {}),
    "qwen3": ("Qwen3Config", {}),
    "mistral": ("MistralConfig", {"sliding_window": None}),
}


def make_config(name: str, **more: Any) -> Any:
    kind, own = CONFIGS[name]
    return getattr(transformers, kind)(**SHAPE, **own, **more)


def make_model(config: Any, attention: str, device: str, dtype: Any = torch.float32) -> Any:
    """The same weights, whatever computes attention."""
    torch.manual_seed(7)
    model = transformers.AutoModelForCausalLM.from_config(config, attn_implementation=attention)
    return model.to(device, dtype).eval()


def make_prompt(device: str, padded: bool, batch: int = 3, tokens: int = 24) -> dict[str, Any]:
    draw = torch.Generator().manual_seed(11)
    ids = torch.randint(2, SHAPE["vocab_size"], (batch, tokens), generator=draw)
    live = torch.ones_like(ids)
    if padded:
        for row, length in enumerate((tokens, 5, tokens - 1)):
            ids[row, : tokens - length] = 0
            live[row, : tokens - length] = 0
    return {"input_ids": ids.to(device), "attention_mask": live.to(device)}


def generate(model: Any, prompt: dict[str, Any], tokens: int = 40, **more: Any) -> Any:
    return model.generate(
        **prompt, max_new_tokens=tokens, do_sample=False, output_logits=True,
        return_dict_in_generate=True, **more,
    )  # fmt: skip
