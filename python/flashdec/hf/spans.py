"""Which tokens of a cache are live: what flashdec takes in place of a mask.

A mask says for every token whether it is live.  For one new token of each sequence those are one
run of tokens, behind the padding on its left.  A *span* is its begin and its number of tokens.
"""

from __future__ import annotations

from typing import Any

import torch

from flashdec.errors import UnsupportedError

__all__ = ["Spans", "make_spans", "spans_of_mask", "take_spans"]

_NOT_ONE_RUN = -1  # no length: the results of such a sequence are NaN

# What models do with a mask that they only hand on.
_HARMLESS = frozenset(
    {"__get__", "__getitem__", "as_subclass", "clone", "contiguous", "detach", "dim", "size", "to"}
)


class Spans(torch.Tensor):
    """Lengths and begins as int32 ``[batch, 1, 1, 1 or 2]``, which a model hands on untouched.

    transformers does so with any 4-D mask.  A model that computes with its mask would compute
    nonsense with these, so all but handing on is refused.
    """

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Do what hands on or asks, and refuse what makes other tensors."""
        handle: Any = super().__torch_function__
        result = handle(func, types, args, kwargs or {})
        name = getattr(func, "__name__", str(func))
        if name not in _HARMLESS and isinstance(result, torch.Tensor):
            raise UnsupportedError(
                f"this model computes with its attention mask ({name}); flashdec.hf takes models "
                'that hand it on: load it with attn_implementation="sdpa" or "eager"'
            )
        return result


def make_spans(lengths: Any, begins: Any = None) -> Any:
    """Pack int32 vectors of live tokens and, where it is not 0, the first of them."""
    rows = [lengths] if begins is None else [lengths, begins]
    return torch.stack(rows).t()[:, None, None, :].as_subclass(Spans)


def take_spans(spans: Spans) -> tuple[Any, Any]:
    """Return lengths and begins; None in place of these: 0."""
    with torch._C.DisableTorchFunctionSubclass():  # so that what comes of it is no Spans
        lengths = spans[:, 0, 0, 0]
        return lengths, spans[:, 0, 0, 1] if spans.shape[-1] == 2 else None


def spans_of_mask(live: Any) -> tuple[Any, Any]:
    """Return lengths and begins of a mask over tokens, ``[batch, tokens]``, true where live.

    A sequence whose live tokens are not one run gets no length.
    """
    places = torch.arange(live.shape[1], dtype=torch.int32, device=live.device)
    count = live.sum(1, dtype=torch.int32)
    first = torch.where(live, places, live.shape[1]).amin(1)
    last = torch.where(live, places, -1).amax(1)
    one_run = (last - first + 1 == count) | (count == 0)
    first = torch.where(count == 0, 0, first)
    return torch.where(one_run, count, _NOT_ONE_RUN).int(), first.int()
