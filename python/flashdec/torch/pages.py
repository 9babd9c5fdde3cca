"""Which sequence has which pages: the host's side of a paged cache."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NoReturn

from flashdec.errors import InvalidArgumentError

__all__ = ["PageLists", "PagePool"]


class PagePool:
    """Pages that are free, or used by one sequence or several."""

    def __init__(self, num_pages: int) -> None:
        self.num_pages = num_pages
        self._free = list(range(num_pages - 1, -1, -1))  # low numbers first
        self._users = [0] * num_pages

    @property
    def free(self) -> int:
        """Return how many pages nobody uses."""
        return len(self._free)

    def take(self, count: int) -> list[int]:
        """Return `count` pages for one sequence."""
        if count > len(self._free):
            self.refuse(count)
        taken = [self._free.pop() for _ in range(count)]
        self.share(taken)
        return taken

    def refuse(self, count: int) -> NoReturn:
        """Say that so many pages are too many."""
        raise InvalidArgumentError(
            f"{count} more pages are needed and {len(self._free)} of {self.num_pages} are free; "
            "drop a sequence, or make a cache with a larger num_pages"
        )

    def share(self, pages: Sequence[int]) -> None:
        """Let one more sequence use pages."""
        for page in pages:
            self._users[page] += 1

    def only_used_by(self, users: Sequence[Sequence[int]]) -> int:
        """Return how many pages would be free if these gave back theirs."""
        given = Counter(page for pages in users for page in pages)
        return sum(self._users[page] == count for page, count in given.items())

    def release(self, pages: Sequence[int]) -> None:
        """Take pages from one sequence."""
        for page in pages:
            self._users[page] -= 1
            if self._users[page] == 0:
                self._free.append(page)


class PageLists:
    """The pages of each sequence, in the order of its tokens."""

    def __init__(self, batch: int, page_size: int, num_pages: int) -> None:
        self.page_size = page_size
        self.pool = PagePool(num_pages)
        self.of: list[list[int]] = [[] for _ in range(batch)]

    def _pages(self, tokens: int) -> int:
        return -(-tokens // self.page_size)

    def grow(self, tokens: Sequence[int]) -> list[tuple[int, int, int]]:
        """Give each sequence pages for so many tokens in all.

        Returns
        -------
        list of (int, int, int)
            Sequence, place in its table, page: what is new.

        Raises
        ------
        InvalidArgumentError
            If there are not enough; then nothing has changed.
        """
        missing = [
            max(0, self._pages(count) - len(pages))
            for count, pages in zip(tokens, self.of, strict=True)
        ]
        taken = iter(self.pool.take(sum(missing)))
        new = []
        for sequence, count in enumerate(missing):
            for _ in range(count):
                page = next(taken)
                new.append((sequence, len(self.of[sequence]), page))
                self.of[sequence].append(page)
        return new

    def drop(self, sequence: int) -> None:
        """Give all pages of a sequence back."""
        self.pool.release(self.of[sequence])
        self.of[sequence] = []

    def reorder(
        self, sources: Sequence[int], lengths: Sequence[int], whole: Sequence[int]
    ) -> list[tuple[int, int]]:
        """Let sequence i become what `sources[i]` was.

        Of the `lengths` tokens that each has, `whole` are written and stay as they are.  Pages
        that are full of those are shared.  The others stay with the first that takes them; each
        further one gets pages of its own.

        Returns
        -------
        list of (int, int)
            Pages whose contents have to be copied: from, to.

        Raises
        ------
        InvalidArgumentError
            If there are not enough; then nothing has changed.
        """
        before = self.of
        gone = [pages for i, pages in enumerate(before) if i not in sources]
        full = [tokens // self.page_size for tokens in whole]
        again = [source for i, source in enumerate(sources) if source in sources[:i]]
        fresh = sum(len(before[source]) - full[source] for source in again)
        if fresh > self.pool.free + self.pool.only_used_by(gone):
            self.pool.refuse(fresh)
        for pages in gone:
            self.pool.release(pages)
        copies: list[tuple[int, int]] = []
        after: list[list[int]] = []
        for i, source in enumerate(sources):
            pages = before[source]
            if source in sources[:i]:
                shared = pages[: full[source]]
                own = self.pool.take(len(pages) - len(shared))
                self.pool.share(shared)
                written = self._pages(lengths[source]) - len(shared)
                copies += zip(pages[len(shared) :][:written], own, strict=False)
                pages = shared + own
            after.append(list(pages))
        self.of = after
        return copies
