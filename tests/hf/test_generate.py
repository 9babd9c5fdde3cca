"""Generated tokens are those of eager attention, whatever the model, cache and padding."""

from __future__ import annotations

from typing import Any

import pytest
from tiny_models import CONFIGS, generate, hf, make_config, make_model, make_prompt, torch

models = pytest.mark.parametrize("name", CONFIGS)
padding = pytest.mark.parametrize("padded", [False, True], ids=["full", "padded"])


@pytest.fixture
def decodes(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What has gone through flashdec."""
    from flashdec.hf import attention

    seen: list[Any] = []
    decode = attention.decode

    def noted(*arrays: Any, **options: Any) -> Any:
        seen.append(options.get("page_table") is not None)
        return decode(*arrays, **options)

    monkeypatch.setattr(attention, "decode", noted)
    return seen


@models
@padding
@pytest.mark.parametrize("cache", ["dynamic", "static"])
def test_float32_tokens(
    device: str, name: str, padded: bool, cache: str, decodes: list[Any]
) -> None:
    config, prompt = make_config(name), make_prompt(device, padded)
    options = {"cache_implementation": cache, "disable_compile": True}
    want = generate(make_model(config, "eager", device), prompt, **options)
    assert not decodes
    got = generate(make_model(config, hf.NAME, device), prompt, **options)
    assert torch.equal(got.sequences, want.sequences)
    for a, b in zip(got.logits, want.logits, strict=True):
        assert torch.allclose(a, b, rtol=1e-3, atol=1e-3)
    assert decodes == [padded] * (39 * config.num_hidden_layers)


@models
def test_bfloat16_logits(device: str, name: str) -> None:
    """Attention's own error is below what the other bfloat16 operations of the model make."""
    config, prompt = make_config(name), make_prompt(device, False)
    exact = make_model(config, "eager", device, torch.bfloat16).float()
    tokens = generate(exact, prompt, tokens=8)
    ids = tokens.sequences
    worst = {}
    for attention in ("eager", hf.NAME):
        model = make_model(config, attention, device, torch.bfloat16)
        with torch.no_grad():
            past = model(ids[:, :-1], use_cache=True).past_key_values
            logits = model(ids[:, -1:], past_key_values=past).logits[:, -1].float()
            want = exact(ids).logits[:, -1]
        worst[attention] = ((logits - want).abs().max() / want.abs().max()).item()
    assert worst[hf.NAME] <= max(2 * worst["eager"], 2**-6), worst


def test_beams_reorder_the_cache(device: str) -> None:
    config, prompt = make_config("llama"), make_prompt(device, True)
    options = {"num_beams": 3, "tokens": 12}
    want = generate(make_model(config, "eager", device), prompt, **options)
    got = generate(make_model(config, hf.NAME, device), prompt, **options)
    assert torch.equal(got.sequences, want.sequences)


@padding
def test_compiled(device: str, padded: bool) -> None:
    """As generate compiles it for a static cache on a GPU: one graph, nothing computed twice."""
    torch._dynamo.reset()
    config, prompt = make_config("llama"), make_prompt(device, padded)
    options = {"cache_implementation": "static", "tokens": 20}
    want = generate(make_model(config, "eager", device), prompt, disable_compile=True, **options)
    model = make_model(config, hf.NAME, device)
    from transformers import CompileConfig

    compiling = CompileConfig(fullgraph=True, mode="default" if device == "cpu" else None)
    compiling._compile_all_devices = True
    torch._dynamo.utils.counters.clear()
    got = generate(model, prompt, compile_config=compiling, **options)
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] > 0
    assert torch.equal(got.sequences, want.sequences)


def test_a_custom_mask_is_obeyed(device: str) -> None:
    """One that is no run of tokens goes to SDPA."""
    config = make_config("llama")
    ids = make_prompt(device, False)["input_ids"]
    allowed = torch.ones((3, 1, 1, ids.shape[1]), dtype=torch.bool, device=device)
    allowed[:, :, :, 3:9] = False
    logits = []
    for attention in ("sdpa", hf.NAME):
        model = make_model(config, attention, device)
        with torch.no_grad():
            past = model(ids[:, :-1], use_cache=True).past_key_values
            logits.append(model(ids[:, -1:], past_key_values=past, attention_mask=allowed).logits)
    assert torch.allclose(*logits, rtol=1e-4, atol=1e-4)


def test_a_mask_beyond_the_new_token_says_nothing(device: str) -> None:
    """As long as a static cache, and true where no token is yet."""
    from transformers import StaticCache

    ids = make_prompt(device, False)["input_ids"]
    logits = []
    for attention in ("eager", hf.NAME):
        model = make_model(make_config("llama"), attention, device)
        past = StaticCache(config=model.config, max_cache_len=64)
        live = torch.ones((ids.shape[0], 64), dtype=torch.long, device=device)
        with torch.no_grad():
            model(ids[:, :-1], past_key_values=past, attention_mask=live[:, : ids.shape[1] - 1])
            step = model(ids[:, -1:], past_key_values=past, attention_mask=live)
        logits.append(step.logits)
    assert torch.allclose(*logits, rtol=1e-3, atol=1e-3)


def test_holes_are_nan_and_never_wrong(device: str) -> None:
    """Padding in the midst of a sequence: flashdec has no such lengths."""
    model = make_model(make_config("llama"), hf.NAME, device)
    prompt = make_prompt(device, False)
    with torch.no_grad():
        past = model(prompt["input_ids"][:, :-1], use_cache=True).past_key_values
        live = prompt["attention_mask"].clone()
        live[1, 4:6] = 0
        logits = model(
            prompt["input_ids"][:, -1:], past_key_values=past, attention_mask=live
        ).logits
    assert torch.isnan(logits[1]).all()
    assert torch.isfinite(logits[[0, 2]]).all()
