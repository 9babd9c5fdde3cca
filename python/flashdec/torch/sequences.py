"""Which tokens each sequence of a cache has, and where they are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch.compiler import is_compiling

from flashdec.errors import InvalidArgumentError
from flashdec.torch._numbers import counts_of, sequences_of
from flashdec.torch.page_tables import PageTables, upload

__all__ = ["Sequences"]


class Sequences:
    """Lengths and pages of a batch of sequences, which grow by steps.

    `KVCache` has them, and documents the attributes.
    """

    k: list[Any]
    v: list[Any]

    def __init__(
        self, batch: int, capacity: int, page_size: int, num_pages: int, device: Any
    ) -> None:
        self.capacity, self.page_size = capacity, page_size
        self.reserved = [0] * batch
        self.kv_len, self.start = torch.zeros((2, batch), dtype=torch.int32, device=device)
        self._tables = None
        if page_size:
            width = -(-capacity // page_size)
            self._tables = PageTables(batch, width, page_size, num_pages, device)
        self.page_table: Any = self._tables.tensor if self._tables else None
        # Of the step at hand: its tokens, those of each sequence where they differ, and the layers
        # that have not written them.
        self._tokens: int | None = 0
        self._new_len: Any = None
        self._waiting: set[int] = set()

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

    def _begin(self, tokens: int | None, new_len: Any) -> None:
        self.start.copy_(self.kv_len)
        self.kv_len.add_(tokens if new_len is None else new_len)
        self._tokens, self._new_len = tokens, new_len
        if not is_compiling():
            self._waiting = set(range(len(self.k)))

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

    def _check_step(self, layer: int, k: Any) -> None:
        """Refuse rows that do not belong to the step at hand; a compiled step is whole."""
        waiting = self._waiting
        if layer in waiting:
            tokens = k.size(1) if k.dim() == 4 else 1
            if tokens == self._tokens or self._tokens is None:
                return
        if is_compiling():
            return
        self._check_layer(layer)
        if layer in waiting:
            raise InvalidArgumentError(
                f"k has {tokens} tokens and the step {self._tokens}, as extend was told"
            )
        raise InvalidArgumentError(
            f"layer {layer} has written the rows of this step; extend begins the next"
            if self._tokens
            else "no step has begun; extend begins one"
        )

    def _note_written(self, layer: int) -> None:
        if self._waiting:
            self._waiting.discard(layer)

    def _check_layer(self, layer: int) -> None:
        if not 0 <= layer < len(self.k):
            raise InvalidArgumentError(
                f"layer {layer} is not there; they are numbered 0 to {len(self.k) - 1}"
            )
