"""A key/value cache for the layers of a model."""

from __future__ import annotations

from typing import Any

import torch

from flashdec.descriptor import Descriptor
from flashdec.dtypes import as_dtype
from flashdec.errors import InvalidArgumentError
from flashdec.torch import functions
from flashdec.torch._plans import select
from flashdec.torch.sequences import Sequences

__all__ = ["KVCache"]


class KVCache(Sequences):
    """Keys and values of a batch of sequences, for every layer of a model.

    A step of a model is `extend`, then for each layer `append` or `append_rotary`, then `decode`.
    In a CUDA graph `extend` is two: `reserve` before each replay, `advance` inside the graph.  In
    eager mode a layer that writes before `extend`, twice, or another number of tokens is refused;
    a graph or a compiled step is taken as it was made.

    Parameters
    ----------
    layers, batch, q_heads, kv_heads, head_dim : int
        Of the model; batch: sequences at a time.
    capacity : int
        Tokens that a sequence can have.
    dtype : torch.dtype or str
        float32, float16 or bfloat16, of the cache and of queries.
    device : torch.device or str
        Where.
    head_dim_v : int, optional
        Elements of a row of v; None: head_dim.
    page_size : int
        Tokens in a page; 0: without pages, each sequence has memory for its capacity.
    num_pages : int, optional
        Pages that all sequences share; None: enough for the capacity of each.
    layout : {"bshd", "bhsd"}
        The order of the axes of a layer's cache.
    scale : float, optional
        Of the scores; None means ``1 / sqrt(head_dim)``.
    batch_invariant : bool
        Whether a sequence's bits must not depend on the batch around it.

    Attributes
    ----------
    k, v : list of tensors
        The cache of each layer: ``[batch, capacity, kv_heads, head_dim]`` or ``[num_pages,
        page_size, kv_heads, head_dim]``, or with heads before tokens.
    kv_len : int32 tensor ``[batch]``
        Live tokens of each sequence, those of the present step among them; on the device.
    start : int32 tensor ``[batch]``
        Live tokens before the present step: where `append` writes.
    page_table : int32 tensor ``[batch, pages]`` or None
        Pages of each sequence; -1 where there is none yet, which `decode` answers with NaN.
    reserved : list of int
        Tokens that there is room for, of each sequence.
    plan : Plan
        What decides how `decode` runs.
    workspace : uint8 tensor
        Prepared for it.

    Raises
    ------
    InvalidArgumentError, UnsupportedError, DeviceError
        If there is no such cache, or no kernel for it.

    Notes
    -----
    All tensors stay where they are, so a captured graph stays valid.  The host knows for how many
    tokens of each sequence there is room, `reserved`, and waits for the device in one place: where
    `reorder` has to know how many there are, with pages.
    """

    def __init__(
        self,
        *,
        layers: int,
        batch: int,
        capacity: int,
        q_heads: int,
        kv_heads: int,
        head_dim: int,
        dtype: Any,
        device: Any = "cpu",
        head_dim_v: int | None = None,
        page_size: int = 0,
        num_pages: int | None = None,
        layout: str = "bshd",
        scale: float | None = None,
        batch_invariant: bool = False,
    ) -> None:
        for name, number in (("layers", layers), ("head_dim_v", head_dim_v)):
            if number is not None and number < 1:
                raise InvalidArgumentError(f"{name} is {number}; it must be 1 or more")
        device = torch.empty(0, device=device).device  # with its number
        if isinstance(dtype, str):
            dtype = getattr(torch, as_dtype(dtype).name.lower())
        width = -(-capacity // page_size) if page_size else 0
        pages = (batch * width if num_pages is None else num_pages) if page_size else 0
        desc = Descriptor(
            batch=batch,
            q_heads=q_heads,
            kv_heads=kv_heads,
            max_kv_len=width * page_size if page_size else capacity,
            head_dim=head_dim,
            head_dim_v=head_dim_v or head_dim,
            scale=scale or 0.0,
            q_dtype=as_dtype(dtype),
            kv_dtype=as_dtype(dtype),
            page_size=page_size,
            num_pages=pages,
        )
        self.plan = select(desc, device, batch_invariant)
        self.layout = layout
        self._scale, self._batch_invariant = scale, batch_invariant
        with torch.inference_mode(False):  # so that they may be written anywhere
            super().__init__(batch, capacity, page_size, pages, device)
            self._make(layers, desc, dtype, device)
        self.workspace = functions.make_workspace(
            torch.empty((batch, q_heads, head_dim), dtype=dtype, device=device),
            self.k[0], self.v[0], page_table=self.page_table, layout=layout, scale=scale,
            batch_invariant=batch_invariant,
        )  # fmt: skip

    def _make(self, layers: int, desc: Any, dtype: Any, device: Any) -> None:
        paged = self.page_size != 0
        blocks, tokens = (desc.num_pages if paged else desc.batch), self.page_size or self.capacity
        rows = (desc.kv_heads, tokens) if self.layout == "bhsd" else (tokens, desc.kv_heads)
        self.k, self.v = (
            [torch.zeros((blocks, *rows, row), dtype=dtype, device=device) for _ in range(layers)]
            for row in (desc.head_dim, desc.head_dim_v)
        )

    def append(self, layer: int, k: Any, v: Any) -> None:
        """Write the step's rows of a layer: `flashdec.torch.append`.

        Parameters
        ----------
        layer : int
            Which.
        k, v : tensor ``[batch, tokens, kv_heads, head_dim]``
            Rows, as many as the longest extension; with one token also without that axis.  Those
            beyond a sequence's own are not read.
        """
        self._check_step(layer, k)
        functions.append(
            k, v, self.k[layer], self.v[layer], self.start, page_table=self.page_table,
            new_len=self._new_len, layout=self.layout,
        )  # fmt: skip
        self._note_written(layer)

    def append_rotary(
        self, layer: int, q: Any, k: Any, v: Any, cos: Any, sin: Any, *, positions: Any = None,
        interleaved: bool = False,
    ) -> Any:  # fmt: skip
        """Write the step's rows of a layer, rotated: `flashdec.torch.append_rotary`.

        Parameters
        ----------
        layer, k, v
            As `append`.
        q : tensor ``[batch, tokens, q_heads, head_dim]``
            Queries, with an axis of tokens where k has one.
        cos, sin, positions, interleaved
            As for `flashdec.append`.

        Returns
        -------
        q_out : tensor like q
            The rotated queries.
        """
        self._check_step(layer, k)
        rotated = functions.append_rotary(
            q, k, v, cos, sin, self.k[layer], self.v[layer], self.start, positions=positions,
            page_table=self.page_table, new_len=self._new_len, layout=self.layout,
            interleaved=interleaved,
        )  # fmt: skip
        self._note_written(layer)
        return rotated

    def decode(self, layer: int, q: Any, *, return_lse: bool = False, base2: bool = False) -> Any:
        """Attention of one token of each sequence over a layer's cache: `flashdec.torch.decode`.

        Parameters
        ----------
        layer : int
            Which.
        q : tensor ``[batch, q_heads, head_dim]``
            Queries.
        return_lse, base2 : bool
            As for `flashdec.torch.decode`.

        Returns
        -------
        o, lse : tensors
            As `flashdec.torch.decode`.
        """
        self._check_layer(layer)
        return functions.decode(
            q, self.k[layer], self.v[layer], kv_len=self.kv_len, page_table=self.page_table,
            workspace=self.workspace, scale=self._scale, layout=self.layout,
            batch_invariant=self._batch_invariant, return_lse=return_lse, base2=base2,
        )  # fmt: skip

    def attend(
        self, layer: int, q: Any, k: Any, v: Any, cos: Any = None, sin: Any = None, *,
        positions: Any = None, interleaved: bool = False,
    ) -> Any:  # fmt: skip
        """Take a layer's step of one token: `append` or `append_rotary`, then `decode`.

        Parameters
        ----------
        layer, k, v
            As `append`.
        q : tensor ``[batch, q_heads, head_dim]``
            Queries.
        cos, sin, positions, interleaved
            As for `append_rotary`; without cos and sin nothing is rotated.

        Returns
        -------
        o : tensor ``[batch, q_heads, head_dim_v]``
            As `decode`.
        """
        if cos is None:
            self.append(layer, k, v)
        else:
            q = self.append_rotary(
                layer, q, k, v, cos, sin, positions=positions, interleaved=interleaved
            )
        return self.decode(layer, q)

    def __repr__(self) -> str:
        pages = f", {self.free_pages} pages free" if self.page_size else ""
        return (
            f"<KVCache of {len(self.k)} layers, {self.batch} sequences up to {self.capacity} "
            f"tokens, {self.kv_len.device}{pages}>"
        )
