"""What flashdec does not compute yet, refused by name before the first token."""

from __future__ import annotations

from typing import Any

from flashdec.errors import UnsupportedError

__all__ = ["refuse_arguments", "refuse_config"]

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
}


def refuse_config(config: Any) -> None:
    """Refuse the configuration of a model that masks or changes scores."""
    for name, feature in _OF_CONFIG.items():
        value = getattr(config, name, None)
        if value is not None and _is_used(config, name):
            _refuse(type(config).__name__, name, value, feature)


def _is_used(config: Any, name: str) -> bool:
    """Return whether any layer has it: some configurations name a window that none has."""
    layers = getattr(config, "layer_types", None)
    if name != "sliding_window" or layers is None:
        return True
    return any("sliding" in each for each in layers)


def refuse_arguments(module: Any, given: dict[str, Any]) -> None:
    """Refuse what a layer hands to its attention function."""
    for name, feature in _OF_CALL.items():
        value = given.get(name)
        if value is not None:
            _refuse(type(module).__name__, name, value, feature)


def _refuse(owner: str, name: str, value: Any, feature: str) -> None:
    shown = value if isinstance(value, (int, float)) else "set"
    raise UnsupportedError(
        f"{name} of {owner} is {shown}; flashdec has no {feature} yet: {_REMEDY}"
    )
