"""The attention function and the mask function that transformers calls."""

from __future__ import annotations

from typing import Any

import torch
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import causal_mask_function, sdpa_mask

from flashdec.hf.refusals import refuse_arguments, refuse_config, refuse_dtype
from flashdec.hf.spans import Spans, make_spans, spans_of_mask, take_spans
from flashdec.torch import decode

__all__ = ["NAME", "attend", "make_mask", "register"]

NAME = "fdec"
"""As in ``attn_implementation="fdec"``: a name with "flash" in it would mean another package."""


def register() -> None:
    """Let models be loaded with ``attn_implementation="fdec"``.

    Decode steps (one new token of each sequence) go through `flashdec.torch.decode`, prompts
    through PyTorch's SDPA.  Any cache of transformers will do whose layers give all keys and values
    as ``[batch, kv_heads, tokens, head_dim]``: dynamic ones and static ones, with padding on the
    left.  To be called once; again does no harm.

    Raises
    ------
    ImportError
        On import of this package, where transformers or torch are absent or too old.

    Notes
    -----
    Models with sliding windows, chunks, sinks, softcapped scores or position biases are refused
    with an `UnsupportedError` in their first forward pass, and so are those that do not take their
    attention from transformers' table, compute with the mask, or hand their attention anything that
    flashdec does not know.
    """
    AttentionInterface.register(NAME, attend)
    AttentionMaskInterface.register(NAME, make_mask)


def make_mask(
    batch_size: int,
    q_length: int,
    kv_length: int,
    q_offset: Any = 0,
    kv_offset: int = 0,
    mask_function: Any = causal_mask_function,
    attention_mask: Any = None,
    device: Any = "cpu",
    **more: Any,
) -> Any:
    """Return a mask of SDPA's for prompts, spans for one new token of each sequence, or None.

    Takes what transformers gives a function of its `AttentionMaskInterface`.
    """
    if more.get("config") is not None:
        refuse_config(more["config"])
    refuse_dtype(more.get("dtype"))
    if q_length != 1 or mask_function is not causal_mask_function:
        return sdpa_mask(
            batch_size, q_length, kv_length, q_offset, kv_offset, mask_function, attention_mask,
            device=device, **more,
        )  # fmt: skip
    if attention_mask is None:
        if not isinstance(q_offset, torch.Tensor) and q_offset + 1 == kv_length:
            return None  # every token is live
        return make_spans(_filled(q_offset, batch_size, device))
    live = attention_mask[:, kv_offset : kv_offset + kv_length]
    past = torch.arange(live.shape[1], device=device) + kv_offset <= q_offset
    lengths, begins = spans_of_mask(live.to(device, torch.bool) & past)
    if torch.compiler.is_compiling() or bool((begins != 0).any()):
        return make_spans(lengths, begins)
    return make_spans(lengths)


def _filled(q_offset: Any, batch_size: int, device: Any) -> Any:
    """Return the lengths of sequences that are filled up to the new token."""
    if isinstance(q_offset, torch.Tensor):
        return (q_offset + 1).to(device, torch.int32).expand(batch_size)
    return torch.full((batch_size,), q_offset + 1, dtype=torch.int32, device=device)


def attend(
    module: Any,
    query: Any,
    key: Any,
    value: Any,
    attention_mask: Any,
    scaling: float | None = None,
    dropout: float = 0.0,
    **given: Any,
) -> tuple[Any, None]:
    """Attention of a layer, as transformers calls a function of its `AttentionInterface`.

    Parameters
    ----------
    module : torch.nn.Module
        The layer.
    query : tensor ``[batch, q_heads, new tokens, head_dim]``
        Queries.
    key, value : tensor ``[batch, kv_heads, tokens, head_dim]``
        The cache, with the new tokens.
    attention_mask : tensor or None
        Of `make_mask`, or what the caller of the model gave.
    scaling : float, optional
        Of the scores.
    dropout : float
        For prompts alone.

    Returns
    -------
    o : tensor ``[batch, new tokens, q_heads, head_dim]``
        And None for the weights, which nobody keeps.

    Raises
    ------
    UnsupportedError
        If the layer asks for what flashdec does not have.
    """
    refuse_arguments(module, given)
    spans = isinstance(attention_mask, Spans)
    if query.shape[2] != 1 or (attention_mask is not None and not spans):
        prompt: tuple[Any, None] = sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **given
        )
        return prompt
    q = query.squeeze(2)
    lengths, begins = take_spans(attention_mask) if spans else (None, None)
    if begins is None:
        o = decode(q, key, value, kv_len=lengths, scale=scaling, layout="bhsd")
    else:
        o = _decode_behind_padding(q, key, value, lengths, begins, scaling)
    return o.unsqueeze(1), None


def _decode_behind_padding(
    q: Any, key: Any, value: Any, lengths: Any, begins: Any, scaling: float | None
) -> Any:
    """Decode sequences that begin anywhere: every token is a page of its own."""
    pages_k, apart = _as_pages(key)
    pages_v, _ = _as_pages(value)
    batch, _, tokens, _ = key.shape
    sequences = torch.arange(batch, dtype=torch.int32, device=key.device) * apart + begins
    table = sequences[:, None] + torch.arange(tokens, dtype=torch.int32, device=key.device)
    return decode(
        q, pages_k, pages_v, kv_len=lengths, page_table=table, scale=scaling, layout="bhsd"
    )


def _as_pages(cache: Any) -> tuple[Any, int]:
    """Return a view ``[pages, kv_heads, 1, head_dim]``, and how many pages sequences are apart."""
    cache = cache.contiguous()
    batch, heads, tokens, row = cache.shape
    pages = (batch - 1) * heads * tokens + tokens
    view = cache.as_strided((pages, heads, 1, row), (row, tokens * row, row, 1))
    return view, heads * tokens
