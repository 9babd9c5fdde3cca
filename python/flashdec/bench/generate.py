"""Tokens per second of a model of transformers, whose attention is flashdec's or SDPA's.

Models have the shape of a real one and random weights; caches are filled with random rows, as if
a prompt of that length had been read.  What is measured is the decode step: the forward pass and
the choice of the likeliest token.
"""

from __future__ import annotations

import gc
import importlib
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from time import perf_counter
from typing import Any

from flashdec.errors import InvalidArgumentError

__all__ = [
    "CONTENDERS",
    "SHAPES",
    "GenerateLine",
    "GenerateResult",
    "lines_for",
    "measure_generate",
]

CONTENDERS = ("fdec", "sdpa")
_CACHE_BYTES = {"cuda": 20e9, "cpu": 2e9}  # fewer layers where the model's cache would be larger
_STEPS = {"cuda": (6, 24), "cpu": (2, 7)}  # to warm up, and measured

SHAPES: dict[str, dict[str, Any]] = {
    "cuda": {  # Llama-3-8B
        "vocab_size": 128256, "hidden_size": 4096, "intermediate_size": 14336,
        "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 8,
        "max_position_embeddings": 1 << 17,
    },
    "cpu": {  # SmolLM2-135M
        "vocab_size": 49152, "hidden_size": 576, "intermediate_size": 1536,
        "num_hidden_layers": 30, "num_attention_heads": 9, "num_key_value_heads": 3,
        "max_position_embeddings": 1 << 16,
    },
}  # fmt: skip
"""By device: the configurations of the models that are measured."""


@dataclass(frozen=True, slots=True)
class GenerateLine:
    """A decode step that is measured.

    Attributes
    ----------
    batch, context : int
        Sequences, and tokens in the cache of each.
    cache : str
        "dynamic", which transformers copies at every step, or "static".
    compiled : bool
        Whether the forward pass is compiled, on a GPU into a CUDA graph.
    padded : bool
        Whether every other sequence begins with padding, an eighth of its tokens.
    """

    batch: int
    context: int
    cache: str
    compiled: bool = False
    padded: bool = False

    def __str__(self) -> str:
        how = "compiled" if self.compiled else "eager"
        padding = ", padded" if self.padded else ""
        return f"{self.batch} x {self.context}, {self.cache} cache, {how}{padding}"


@dataclass(frozen=True, slots=True)
class GenerateResult:
    """What was measured: seconds of a step, by contender.

    Attributes
    ----------
    line : GenerateLine
        What.
    layers : int
        Of the model; fewer than the shape's where the cache would not fit.
    seconds : dict of str to float
        Medians.
    """

    line: GenerateLine
    layers: int
    seconds: dict[str, float]

    def tokens_per_second(self, name: str) -> float:
        """Return new tokens a second, of all sequences."""
        return self.line.batch / self.seconds[name]


def lines_for(device: str) -> list[GenerateLine]:
    """Return what is measured: batch 1 and 32, 1k and 32k tokens, both caches."""
    sizes = [(1, 1024), (32, 1024), (1, 32768), (32, 32768)]
    ways = [("dynamic", False), ("static", False)]
    if device == "cuda":
        ways.append(("static", True))
    lines = [GenerateLine(*size, *way) for size in sizes for way in ways]
    padded = [GenerateLine(*size, "dynamic", padded=True) for size in sizes if size[0] > 1]
    return lines + padded


def _layers(line: GenerateLine, device: str) -> int:
    shape = SHAPES[device]
    row = shape["hidden_size"] // shape["num_attention_heads"] * shape["num_key_value_heads"]
    layer: int = line.batch * line.context * row * 2 * 2
    most: int = shape["num_hidden_layers"]
    return max(1, min(most, int(_CACHE_BYTES[device] / layer)))


def measure_generate(line: GenerateLine, device: str) -> GenerateResult:
    """Measure one line, each contender with the same weights and cache.

    Raises
    ------
    InvalidArgumentError
        If there is no such device.
    """
    if device not in SHAPES:
        raise InvalidArgumentError(f"device is {device!r}; models are measured on cpu and cuda")
    import torch

    import flashdec.hf

    flashdec.hf.register()
    shape = SHAPES[device]
    layers = _layers(line, device)
    model = _model(torch, {**shape, "num_hidden_layers": layers}, device)
    # A compiled step is the GPU's; one that is not is the host's, whose speed wanders, so that the
    # contenders take turns.
    turns = [[name] for name in CONTENDERS] if line.compiled else [list(CONTENDERS)]
    seconds: dict[str, float] = {}
    for names in turns:
        seconds |= _measure(torch, model, line, device, names)
    return GenerateResult(line, layers, seconds)


def _model(torch: Any, shape: dict[str, Any], device: str) -> Any:
    """Make a model without waiting for its initialisation."""
    transformers: Any = importlib.import_module("transformers")
    torch.manual_seed(0)
    config = transformers.LlamaConfig(**shape)
    with torch.device("meta"):
        model = transformers.LlamaForCausalLM(config)
    model = model.to(torch.bfloat16).to_empty(device=device).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0, 0.02)
        _set_frequencies(torch, model.model.rotary_emb, config)
    return model


def _set_frequencies(torch: Any, rotary: Any, config: Any) -> None:
    """Set those of the rotary embedding, which ``to_empty`` has left as they were."""
    dim = config.hidden_size // config.num_attention_heads
    device = rotary.inv_freq.device
    rotary.inv_freq.copy_(10000.0 ** (-torch.arange(0, dim, 2, device=device).float() / dim))


def _cache(torch: Any, model: Any, line: GenerateLine, room: int, device: str) -> Any:
    transformers: Any = importlib.import_module("transformers")
    config = model.config
    dim = config.hidden_size // config.num_attention_heads
    shape = (line.batch, config.num_key_value_heads, line.context, dim)
    made = (
        transformers.DynamicCache(config=config)
        if line.cache == "dynamic"
        else transformers.StaticCache(config=config, max_cache_len=line.context + room)
    )
    for layer in range(config.num_hidden_layers):
        k, v = (torch.randn(shape, dtype=torch.bfloat16, device=device) for _ in "kv")
        made.update(k, v, layer)
    return made


def _measure(
    torch: Any, model: Any, line: GenerateLine, device: str, names: list[str]
) -> dict[str, float]:
    """Return the median seconds of a step of each contender, all on one cache that grows."""
    warm, steps = _STEPS[device]
    rounds = warm + steps
    with torch.no_grad():
        cache = _cache(torch, model, line, rounds * len(names) + 2, device)
        torch._dynamo.reset()
        forward: Callable[..., Any] = model.forward
        if line.compiled:
            forward = torch.compile(forward, fullgraph=True, mode="reduce-overhead")
        ids = torch.ones((line.batch, 1), dtype=torch.long, device=device)
        padding = _padding(torch, line, rounds * len(names), device) if line.padded else None
        times: dict[str, list[float]] = {name: [] for name in names}
        for turn in range(rounds * len(names)):
            name = names[turn % len(names)]
            if model.config._attn_implementation != name:
                model.set_attn_implementation(name)
            _finish(torch, device)
            start = perf_counter()
            place = torch.full((1, 1), line.context + turn, dtype=torch.long, device=device)
            mask = None if padding is None else padding[:, : line.context + turn + 1]
            logits = forward(
                input_ids=ids, position_ids=place, past_key_values=cache, attention_mask=mask
            ).logits
            ids = logits[:, -1:].argmax(-1)
            _finish(torch, device)
            times[name].append(perf_counter() - start)
    del cache, forward
    gc.collect()
    if device == "cuda":
        torch.cuda.empty_cache()
    return {name: median(kept[warm:]) for name, kept in times.items()}


def _padding(torch: Any, line: GenerateLine, room: int, device: str) -> Any:
    live = torch.ones((line.batch, line.context + room), dtype=torch.long, device=device)
    live[1::2, : line.context // 8] = 0
    return live


def _finish(torch: Any, device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()
