"""A key/value cache for the layers of a model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch.compiler import is_compiling

from flashdec.descriptor import Descriptor
from flashdec.dtypes import as_dtype
from flashdec.errors import InvalidArgumentError
from flashdec.torch import direct, functions
from flashdec.torch._numbers import counts_of, sequences_of
from flashdec.torch._plans import select
from flashdec.torch.page_tables import PageTables, upload

__all__ = ["KVCache"]


class KVCache:
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
        self.capacity, self.page_size, self.layout = capacity, page_size, layout
        self._scale, self._batch_invariant, self._bhsd = scale, batch_invariant, layout == "bhsd"
        self.reserved = [0] * batch
        # Of the step at hand: its tokens, those of each sequence where they differ, and the layers
        # that have not written them.
        self._tokens: int | None = 0
        self._new_len: Any = None
        self._waiting: set[int] = set()
        with torch.inference_mode(False):  # so that they may be written anywhere
            self._make(layers, width, desc, dtype, device)
        self.workspace = functions.make_workspace(
            torch.empty((batch, q_heads, head_dim), dtype=dtype, device=device),
            self.k[0], self.v[0], page_table=self.page_table, layout=layout, scale=scale,
            batch_invariant=batch_invariant,
        )  # fmt: skip

    def _make(self, layers: int, width: int, desc: Any, dtype: Any, device: Any) -> None:
        batch, pages = desc.batch, desc.num_pages
        blocks, tokens = (pages, self.page_size) if self.page_size else (batch, self.capacity)
        rows = (desc.kv_heads, tokens) if self.layout == "bhsd" else (tokens, desc.kv_heads)
        self.k, self.v = (
            [torch.zeros((blocks, *rows, row), dtype=dtype, device=device) for _ in range(layers)]
            for row in (desc.head_dim, desc.head_dim_v)
        )
        self.kv_len, self.start = torch.zeros((2, batch), dtype=torch.int32, device=device)
        self._tables = None
        if self.page_size:
            self._tables = PageTables(batch, width, self.page_size, pages, device)
        self.page_table = self._tables.tensor if self._tables else None

    @property
    def batch(self) -> int:
        """Return the number of sequences, empty ones among them."""
        return len(self.reserved)

    @property
    def free_pages(self) -> int:
        """Return how many pages no sequence has; 0 without pages."""
        return self._tables.free if self._tables else 0

    def reserve(self, tokens: int | Sequence[int] = 1) -> None:
        """Make room for more tokens: the host's part of `extend`.

        Parameters
        ----------
        tokens : int or sequence of int
            How many, of every sequence or of each.

        Raises
        ------
        InvalidArgumentError
            If a sequence would have more than its capacity, or there are not enough pages; then
            nothing has changed.
        """
        more = counts_of(tokens, self.batch)
        total = [have + count for have, count in zip(self.reserved, more, strict=True)]
        if max(total) > self.capacity:
            longest = total.index(max(total))
            raise InvalidArgumentError(
                f"sequence {longest} would have {total[longest]} tokens; the capacity is "
                f"{self.capacity}"
            )
        if self._tables:
            self._tables.grow(total)
        self.reserved = total

    def advance(self, new_len: int | Any = 1) -> None:
        """Let lengths grow by what the layers append next: the device's part of `extend`.

        Parameters
        ----------
        new_len : int or int32 tensor ``[batch]``
            Tokens of every sequence, or of each: on the device, up to what has been reserved.
        """
        same = isinstance(new_len, int)
        self._begin(new_len if same else None, None if same else new_len)

    def _begin(self, tokens: int | None, new_len: Any) -> None:
        self.start.copy_(self.kv_len)
        self.kv_len.add_(tokens if new_len is None else new_len)
        self._tokens, self._new_len = tokens, new_len
        if not is_compiling():
            self._waiting = set(range(len(self.k)))

    def extend(self, tokens: int | Sequence[int] = 1) -> None:
        """Begin a step of so many new tokens: `reserve`, and `advance`.

        Parameters
        ----------
        tokens : int or sequence of int
            How many, of every sequence or of each.

        Raises
        ------
        InvalidArgumentError
            As `reserve`.
        """
        counts = counts_of(tokens, self.batch)
        self.reserve(counts)
        same = min(counts) == max(counts)
        self._begin(max(counts), None if same else upload(counts, self.kv_len))

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
        self._write(layer, k)
        k_cache, v_cache = self.k[layer], self.v[layer]
        if direct.is_open(k, v) and direct.may_write(k_cache, v_cache):
            nothing = None, None, None, None, None  # of queries and angles
            if not direct.append(
                k, v, k_cache, v_cache, self.start, *nothing, self._new_len, self.page_table, None,
                self._bhsd, False, False,
            ):  # fmt: skip
                return
        functions.append(
            k, v, k_cache, v_cache, self.start, page_table=self.page_table, new_len=self._new_len,
            layout=self.layout,
        )  # fmt: skip

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
        self._write(layer, k)
        k_cache, v_cache = self.k[layer], self.v[layer]
        if direct.is_open(q, k, v, cos, sin) and direct.may_write(k_cache, v_cache):
            out = direct.empty_like(q)
            if not direct.append(
                k, v, k_cache, v_cache, self.start, q, out, cos, sin, positions, self._new_len,
                self.page_table, None, self._bhsd, False, interleaved,
            ):  # fmt: skip
                return out
        return functions.append_rotary(
            q, k, v, cos, sin, k_cache, v_cache, self.start, positions=positions,
            page_table=self.page_table, new_len=self._new_len, layout=self.layout,
            interleaved=interleaved,
        )  # fmt: skip

    def _write(self, layer: int, k: Any) -> None:
        """Refuse rows that do not belong to the step at hand; a compiled step is whole."""
        waiting = self._waiting
        if layer in waiting:
            tokens = k.size(1) if k.dim() == 4 else 1
            if tokens == self._tokens or self._tokens is None:
                waiting.discard(layer)
                return
        if is_compiling():
            return
        self._layer(layer)
        if layer in waiting:
            raise InvalidArgumentError(
                f"k has {tokens} tokens and the step {self._tokens}, as extend was told"
            )
        raise InvalidArgumentError(
            f"layer {layer} has written the rows of this step; extend begins the next"
            if self._tokens
            else "no step has begun; extend begins one"
        )

    def _layer(self, layer: int) -> None:
        if not 0 <= layer < len(self.k):
            raise InvalidArgumentError(
                f"layer {layer} is not there; they are numbered 0 to {len(self.k) - 1}"
            )

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
        self._layer(layer)
        if not return_lse and direct.is_open(q):
            o = direct.empty_like(q)
            if not direct.decode(
                q, self.k[layer], self.v[layer], o, None, self.kv_len, self.page_table,
                self.workspace, self._scale, self._bhsd, self._batch_invariant, False,
            ):  # fmt: skip
                return o
        return functions.decode(
            q, self.k[layer], self.v[layer], kv_len=self.kv_len, page_table=self.page_table,
            workspace=self.workspace, scale=self._scale, layout=self.layout,
            batch_invariant=self._batch_invariant, return_lse=return_lse, base2=base2,
        )  # fmt: skip

    def drop(self, sequences: int | Sequence[int]) -> None:
        """Empty some sequences, whose places others can take; their pages are free again."""
        sequences = sequences_of(sequences, self.batch)
        places = upload(sequences, self.kv_len).long()
        for lengths in (self.kv_len, self.start):
            lengths.index_fill_(0, places, 0)
        for sequence in sequences:
            self.reserved[sequence] = 0
        if self._tables:
            self._tables.drop(sequences)

    def reorder(self, sources: Sequence[int]) -> None:
        """Let sequence i continue what ``sources[i]`` was, as a beam search does.

        Parameters
        ----------
        sources : sequence of int
            For each sequence which one; several may continue the same.

        Raises
        ------
        InvalidArgumentError
            If there are not enough pages; then nothing has changed.

        Notes
        -----
        With pages, sequences that continue the same share what is full; without, rows are copied.
        """
        sources = sequences_of(sources, self.batch)
        if len(sources) != self.batch:
            raise InvalidArgumentError(
                f"sources has {len(sources)} numbers; it must have {self.batch}, one for each "
                "sequence"
            )
        if self._tables:
            lengths = self._lengths()
            # Where a step has begun and not been written, nobody may share where it goes.
            whole = self.start.tolist() if self._waiting else lengths
            self._tables.reorder(sources, lengths, whole, (*self.k, *self.v))
        places = upload(sources, self.kv_len).long()
        if not self._tables:
            for cache in (*self.k, *self.v):
                cache.copy_(cache[places])
        for lengths in (self.kv_len, self.start):
            lengths.copy_(lengths[places])
        self.reserved = [self.reserved[source] for source in sources]

    def _lengths(self) -> list[int]:
        """Wait for the device and return how many tokens there are."""
        lengths: list[int] = self.kv_len.tolist()
        for sequence, (length, room) in enumerate(zip(lengths, self.reserved, strict=True)):
            if length > room:
                raise InvalidArgumentError(
                    f"sequence {sequence} has {length} tokens and room for {room}; reserve makes "
                    "room before advance"
                )
        return lengths

    def __repr__(self) -> str:
        pages = f", {self.free_pages} pages free" if self.page_size else ""
        return (
            f"<KVCache of {len(self.k)} layers, {self.batch} sequences up to {self.capacity} "
            f"tokens, {self.kv_len.device}{pages}>"
        )
