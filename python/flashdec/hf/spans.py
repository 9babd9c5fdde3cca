"""Which tokens of a cache are live: what flashdec takes in place of a mask.

A mask says for every token whether it is live.  For one new token of each sequence those are one
run of tokens, behind the padding on its left.  A *span* is its begin and its number of tokens.
"""

from __future__ import annotations

from typing import Any

import torch

__all__ = ["begins_of", "is_spans", "lengths_of", "make_spans", "spans_of_mask"]

_NOT_ONE_RUN = -1  # no length: the results of such a sequence are NaN


def make_spans(lengths: Any, begins: Any = None) -> Any:
    """Pack int32 vectors into what transformers hands on untouched, as it does any 4-D mask.

    Parameters
    ----------
    lengths, begins : int32 tensor ``[batch]``
        Live tokens, and the first of them; without `begins` the first is 0.

    Returns
    -------
    spans : int32 tensor ``[batch, 1, 1, 1 or 2]``
        Columns are contiguous.
    """
    rows = [lengths] if begins is None else [lengths, begins]
    return torch.stack(rows).t()[:, None, None, :]


def is_spans(mask: Any) -> bool:
    """Return whether a mask is of `make_spans`."""
    return mask is not None and mask.dtype == torch.int32


def lengths_of(spans: Any) -> Any:
    """Return the live tokens of each sequence."""
    return spans[:, 0, 0, 0]


def begins_of(spans: Any) -> Any:
    """Return the first live token of each sequence; None: 0."""
    return spans[:, 0, 0, 1] if spans.shape[-1] == 2 else None


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
