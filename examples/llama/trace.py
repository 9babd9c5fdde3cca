"""What a run leaves behind for the check."""

from __future__ import annotations

from dataclasses import dataclass, field

from .bf16 import Bits


@dataclass
class Trace:
    """One entry per decode step.

    Attributes
    ----------
    tokens
        The token that entered the step.
    lengths
        Tokens in the cache during the step, its own included.
    queries, outputs
        Bits of flashdec's input and output, ``[layers, q_heads, head_dim]``.
    argmax
        The token with the largest logit.
    """

    tokens: list[int] = field(default_factory=list)
    lengths: list[int] = field(default_factory=list)
    queries: list[Bits] = field(default_factory=list)
    outputs: list[Bits] = field(default_factory=list)
    argmax: list[int] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.tokens)

    def cut(self, first: int, end: int) -> Trace:
        """Return the steps from ``first`` up to and without ``end``, as a trace of their own."""
        return Trace(
            self.tokens[first:end],
            self.lengths[first:end],
            self.queries[first:end],
            self.outputs[first:end],
            self.argmax[first:end],
        )
