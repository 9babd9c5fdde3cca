"""The sizes and constants of a llama-architecture model."""

from __future__ import annotations

from dataclasses import dataclass

from .gguf_file import GgufFile
from .refusal import Refusal

# Metadata that changes the computation in a way this demo does not implement, and the value that
# means "as in Llama". Ignoring one would give fluent nonsense, so anything else is refused.
_NEUTRAL: dict[str, float] = {
    "expert_count": 0,
    "attention.sliding_window": 0,
    "attention.scale": 0,
    "attention.clamp_kqv": 0,
    "attention.max_alibi_bias": 0,
    "attention.causal": 1,
    "embedding_scale": 1,
    "residual_scale": 1,
    "logit_scale": 1,
    "use_parallel_residual": 0,
}


@dataclass(frozen=True)
class Hyperparameters:
    """What a Llama is made of, under the names of the literature.

    Attributes
    ----------
    head_dim, head_dim_v
        Elements of a query or key row, and of a value row.
    rope_dim
        Leading elements of a head that are rotated.
    rope_slowdown
        Positions are divided by this (linear RoPE scaling); 1 for none.
    """

    layers: int
    context_length: int
    embedding: int
    feed_forward: int
    q_heads: int
    kv_heads: int
    head_dim: int
    head_dim_v: int
    rope_dim: int
    rope_base: float
    rope_slowdown: float
    norm_epsilon: float


def read_hyperparameters(file: GgufFile) -> Hyperparameters:
    """Read them, refusing what would change the computation beyond a Llama."""
    architecture = file.text("general.architecture")
    if architecture != "llama":
        raise Refusal(
            f'the architecture of {file.path.name} is "{architecture}"; this demo computes '
            '"llama" only, and another one would need other layers'
        )
    for key, neutral in _NEUTRAL.items():
        value = file.number(f"llama.{key}", neutral)
        if value != neutral:
            raise Refusal(f"llama.{key} is {value:g}; this demo computes {neutral:g} only")
    q_heads = file.integer("llama.attention.head_count")
    embedding = file.integer("llama.embedding_length")
    head_dim = file.integer("llama.attention.key_length", embedding // max(q_heads, 1))
    found = Hyperparameters(
        layers=file.integer("llama.block_count"),
        context_length=file.integer("llama.context_length"),
        embedding=embedding,
        feed_forward=file.integer("llama.feed_forward_length"),
        q_heads=q_heads,
        kv_heads=file.integer("llama.attention.head_count_kv", q_heads),
        head_dim=head_dim,
        head_dim_v=file.integer("llama.attention.value_length", head_dim),
        rope_dim=file.integer("llama.rope.dimension_count", head_dim),
        rope_base=file.number("llama.rope.freq_base", 10000.0),
        rope_slowdown=_rope_slowdown(file),
        norm_epsilon=file.number("llama.attention.layer_norm_rms_epsilon"),
    )
    _refuse_impossible_sizes(found)
    return found


def _rope_slowdown(file: GgufFile) -> float:
    scaling = file.text("llama.rope.scaling.type", "none")
    if scaling not in ("none", "linear"):
        raise Refusal(
            f'llama.rope.scaling.type is "{scaling}"; this demo computes "none", "linear" '
            "and the rope_freqs tensor of Llama 3"
        )
    # Older files have the factor under a key of their own and no type.
    factor = file.number("llama.rope.scale_linear", 1.0)
    if scaling == "linear":
        factor = file.number("llama.rope.scaling.factor", factor)
    return factor or 1.0


def _refuse_impossible_sizes(sizes: Hyperparameters) -> None:
    for name in ("layers", "context_length", "q_heads", "kv_heads", "head_dim", "head_dim_v"):
        if getattr(sizes, name) < 1:
            raise Refusal(f"{name} is {getattr(sizes, name)}; a model has at least 1")
    if sizes.q_heads % sizes.kv_heads:
        raise Refusal(
            f"{sizes.q_heads} query heads cannot share {sizes.kv_heads} key/value heads evenly; "
            "the first must be a multiple of the second"
        )
    if sizes.rope_dim % 2 or not 0 < sizes.rope_dim <= sizes.head_dim:
        raise Refusal(
            f"llama.rope.dimension_count is {sizes.rope_dim}; it must be even and at most the "
            f"head dimension, {sizes.head_dim}, because RoPE turns pairs"
        )
