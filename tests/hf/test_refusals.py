"""Models that flashdec cannot compute are refused by name, before the first token."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from tiny_models import SHAPE, hf, make_config, make_model, make_prompt, torch, transformers

import flashdec

OLD = """
import sys, types
transformers = types.ModuleType("transformers")
transformers.__version__ = "4.57.1"
sys.modules["transformers"] = transformers
"""

MODELS = {
    "window": (
        lambda: transformers.MistralConfig(**SHAPE, sliding_window=64),
        "sliding_window of MistralConfig is 64; flashdec has no sliding windows yet",
    ),
    "softcap": (
        lambda: transformers.Gemma2Config(**{**SHAPE, "layer_types": ["full_attention"] * 3}),
        "attn_logit_softcapping of Gemma2Config is 50.0; flashdec has no softcapped scores yet",
    ),
    "sinks": (
        lambda: transformers.GptOssConfig(
            **{**SHAPE, "layer_types": ["full_attention"] * 3, "num_local_experts": 2,
               "num_experts_per_tok": 1}
        ),
        "s_aux of GptOssAttention is set; flashdec has no attention sinks yet",
    ),
}  # fmt: skip


SMALL = {
    "vocab_size": 512, "hidden_size": 64, "n_layer": 2, "n_head": 4, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": 64, "head_dim": 16,
    "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": None,
}  # fmt: skip
EXPERTS = {
    "n_routed_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32, "n_group": 1,
    "topk_group": 1, "q_lora_rank": 16, "kv_lora_rank": 16, "qk_nope_head_dim": 16,
    "qk_rope_head_dim": 8, "v_head_dim": 12, "index_topk": 4, "index_n_heads": 2,
    "index_head_dim": 16, "num_key_value_heads": 4,
}  # fmt: skip
OTHERS = {
    "attention of its own": (
        lambda: transformers.BloomConfig(**SMALL),
        "the model of BloomConfig does not take its attention from transformers' table",
    ),
    "arithmetic on the mask": (
        lambda: transformers.DogeConfig(**SMALL), "this model computes with its attention mask"
    ),
    "chosen tokens": (
        lambda: transformers.DeepseekV32Config(**{**SMALL, **EXPERTS}),
        "indices of DeepseekV32Attention is set; flashdec has no attention to chosen tokens yet",
    ),
}  # fmt: skip
MODELS |= OTHERS


@pytest.mark.parametrize("name", MODELS)
def test_by_name(name: str) -> None:
    config, sentence = MODELS[name]
    model = make_model(config(), hf.NAME, "cpu")
    with pytest.raises(flashdec.UnsupportedError) as error:
        model.generate(**make_prompt("cpu", False), max_new_tokens=2)
    assert str(error.value).startswith(sentence)
    assert 'attn_implementation="sdpa"' in str(error.value)


def test_a_mask_of_whole_numbers_is_the_callers() -> None:
    """Not lengths, which have a type of their own."""
    model = make_model(make_config("llama"), hf.NAME, "cpu")
    ids = make_prompt("cpu", False)["input_ids"][:1]
    with torch.no_grad():
        past = model(ids[:, :-1], use_cache=True).past_key_values
        mask = torch.zeros((1, 1, 1, ids.shape[1]), dtype=torch.int32)
        with pytest.raises(RuntimeError, match="mask"):
            model(ids[:, -1:], past_key_values=past, attention_mask=mask)


def test_what_a_layer_hands_on_must_be_known() -> None:
    from flashdec.hf.refusals import refuse_arguments

    refuse_arguments(torch.nn.Linear(1, 1), {"position_ids": 1, "sliding_window": None})
    with pytest.raises(flashdec.UnsupportedError, match="new_idea of Linear is 3; flashdec does"):
        refuse_arguments(torch.nn.Linear(1, 1), {"new_idea": 3})


def test_gradients_are_refused() -> None:
    model = make_model(make_config("llama"), hf.NAME, "cpu")
    ids = make_prompt("cpu", False)["input_ids"]
    past = model(ids[:, :-1], use_cache=True).past_key_values
    with pytest.raises(RuntimeError, match="requires grad; flashdec has no backward pass"):
        model(ids[:, -1:], past_key_values=past)
    with torch.no_grad():
        model(ids[:, -1:], past_key_values=past)


@pytest.mark.parametrize(
    ("setup", "words"),
    [
        ("import sys; sys.modules['transformers'] = None", "needs transformers, which is not"),
        (OLD, "transformers is 4.57.1; flashdec.hf needs 5.0"),
    ],
)
def test_without_transformers(setup: str, words: str) -> None:
    done: Any = subprocess.run(
        [sys.executable, "-c", setup + "\nimport flashdec.hf"], capture_output=True, text=True
    )
    assert done.returncode == 1
    sentence = done.stderr.strip().splitlines()[-1]
    assert sentence.startswith("ImportError: ")
    assert words in sentence
    assert sentence.endswith("pip install 'flashdec[hf]'")


def test_registering_again_does_no_harm() -> None:
    hf.register()
    assert transformers.AttentionInterface()[hf.NAME] is not None
