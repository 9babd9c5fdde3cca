"""The device's side of a paged cache: a table that follows the host's lists."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch

from flashdec.torch.pages import PageLists

__all__ = ["PageTables", "upload"]


class PageTables:
    """Ids of the pages of each sequence, on the host and as `tensor` on the device.

    The tensor stays where it is; -1 stands where there is no page.
    """

    def __init__(self, batch: int, width: int, page_size: int, num_pages: int, device: Any) -> None:
        self.tensor = torch.full((batch, width), -1, dtype=torch.int32, device=device)
        self._lists = PageLists(batch, page_size, num_pages)

    @property
    def free(self) -> int:
        """Return how many pages no sequence has."""
        return self._lists.pool.free

    def grow(self, tokens: Sequence[int]) -> None:
        """Give each sequence pages for so many tokens in all, or refuse and change nothing."""
        self._write(self._lists.grow(tokens))

    def drop(self, sequences: Sequence[int]) -> None:
        """Give all pages of some sequences back."""
        for sequence in sequences:
            self._lists.drop(sequence)
        self.tensor.index_fill_(0, upload(sequences, self.tensor).long(), -1)

    def reorder(
        self,
        sources: Sequence[int],
        lengths: Sequence[int],
        whole: Sequence[int],
        caches: Iterable[Any],
    ) -> None:
        """Let sequence i become what `sources[i]` was, or refuse and change nothing.

        Of its `lengths` tokens `whole` are written and stay as they are.
        """
        copies = self._lists.reorder(sources, lengths, whole)
        if copies:
            old = upload([page for page, _ in copies], self.tensor).long()
            new = upload([page for _, page in copies], self.tensor).long()
            for cache in caches:
                cache.index_copy_(0, new, cache.index_select(0, old))
        self.tensor.fill_(-1)
        self._write(
            [
                (sequence, place, page)
                for sequence, pages in enumerate(self._lists.of)
                for place, page in enumerate(pages)
            ]
        )

    def _write(self, entries: Sequence[tuple[int, int, int]]) -> None:
        """Write a page to a place of a sequence, for each entry."""
        if not entries:
            return
        width = self.tensor.shape[1]
        places = upload([sequence * width + place for sequence, place, _ in entries], self.tensor)
        pages = upload([page for *_, page in entries], self.tensor)
        self.tensor.view(-1).index_copy_(0, places.long(), pages)


def upload(numbers: Sequence[int], like: Any) -> Any:
    """Return int32 numbers on the device of `like`, without waiting for it."""
    made = torch.tensor(numbers, dtype=torch.int32)
    if like.is_cuda:
        return made.pin_memory().to(like.device, non_blocking=True)
    return made
