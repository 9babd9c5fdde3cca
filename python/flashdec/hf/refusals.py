"""What flashdec does not compute yet, refused by name before the first token."""

from __future__ import annotations

import sys
from typing import Any

from flashdec.errors import UnsupportedError

__all__ = ["refuse_arguments", "refuse_config", "refuse_dtype"]

_REMEDY = 'load the model with attn_implementation="sdpa" or "eager"'

_OF_CONFIG = {
    "sliding_window": "sliding windows",
    "attention_chunk_size": "chunked attention",
    "attn_logit_softcapping": "softcapped scores",
}
_OF_CALL = {
    "sliding_window": "sliding windows",
    "softcap": "softcapped scores",
    "s_aux": "attention sinks",
    "position_bias": "position biases",
    "head_mask": "head masks",
    "indices": "attention to chosen tokens",
    "block_indices": "attention to chosen blocks",
}
# What says nothing about attention, or what a prompt's SDPA takes.
_HARMLESS = frozenset(
    {
        "cache_position", "deterministic", "is_causal", "logits_to_keep", "num_items_in_batch",
        "past_key_values", "position_embeddings", "position_ids", "token_type_ids", "use_cache",
    }
)  # fmt: skip
_OF_OUTPUTS = ("output_", "return_")

_seen: set[type] = set()


def refuse_config(config: Any) -> None:
    """Refuse the configuration of a model that masks or changes scores, or does all by itself."""
    for name, feature in _OF_CONFIG.items():
        value = getattr(config, name, None)
        if value is not None and _is_used(config, name):
            _refuse(type(config).__name__, name, value, f"flashdec has no {feature} yet")
    if type(config) not in _seen:
        _refuse_other_attention(type(config))
        _seen.add(type(config))


def refuse_dtype(dtype: Any) -> None:
    """Refuse a model of another type of elements."""
    name = str(dtype).removeprefix("torch.")
    if dtype is not None and name not in ("float32", "float16", "bfloat16"):
        raise UnsupportedError(
            f"the model is in {name}; flashdec takes float32, float16 and bfloat16: {_REMEDY}"
        )


def _is_used(config: Any, name: str) -> bool:
    """Return whether any layer has it: some configurations name a window that none has."""
    layers = getattr(config, "layer_types", None)
    if name != "sliding_window" or layers is None:
        return True
    return any("sliding" in each for each in layers)


def _refuse_other_attention(config: type) -> None:
    """Refuse models that would take the mask, and compute attention themselves.

    Those whose attention can be replaced look it up in a table of transformers, by a name that
    their module imports.
    """
    there = config.__module__
    modules = (there.replace("configuration_", "modeling_"), there)
    if any(hasattr(sys.modules.get(each), "ALL_ATTENTION_FUNCTIONS") for each in modules):
        return
    raise UnsupportedError(
        f"the model of {config.__name__} does not take its attention from transformers' table "
        f"(ALL_ATTENTION_FUNCTIONS); flashdec cannot compute it: {_REMEDY}"
    )


def refuse_arguments(module: Any, given: dict[str, Any]) -> None:
    """Refuse what a layer hands to its attention function, but for what is known to be harmless."""
    for name, value in given.items():
        if value is None or name in _HARMLESS or name.startswith(_OF_OUTPUTS):
            continue
        feature = _OF_CALL.get(name)
        why = f"flashdec has no {feature} yet" if feature else "flashdec does not know it"
        _refuse(type(module).__name__, name, value, why)


def _refuse(owner: str, name: str, value: Any, why: str) -> None:
    shown = value if isinstance(value, (int, float)) else "set"
    raise UnsupportedError(f"{name} of {owner} is {shown}; {why}: {_REMEDY}")
