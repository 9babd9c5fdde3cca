"""The figures at the end of a run."""

from __future__ import annotations

from dataclasses import dataclass

from .check import Verdict


@dataclass(frozen=True)
class Figures:
    """What a run measured.

    Attributes
    ----------
    kernel
        flashdec's, by name.
    steps
        Decode steps.
    seconds
        They took in all.
    attention_seconds, attention_bytes
        Time in flashdec, and live bytes of cache it read.
    """

    kernel: str
    steps: int
    seconds: float
    attention_seconds: float
    attention_bytes: int


def describe_speed(figures: Figures) -> str:
    """One line."""
    return (
        f"speed: {figures.steps / figures.seconds:.1f} tokens/s; attention ({figures.kernel}) took "
        f"{figures.attention_seconds / figures.seconds:.1%} of the time and read the KV cache at "
        f"{figures.attention_bytes / figures.attention_seconds / 1e9:.1f} GB/s"
    )


def describe_check(verdict: Verdict) -> str:
    """One line that ends in OK or FAILED; before it another where tokens differ."""
    text = ""
    if verdict.differing:
        text = (
            f"check: {verdict.differing} next tokens differ, {verdict.ties} of them at a tie: "
            f"the two largest float64 logits are at most {verdict.gap:.2g} apart, and errors "
            f"within the bound move a logit by {verdict.allowance:.2g}\n"
        )
    right = verdict.steps - verdict.differing
    return text + (
        f"check: {verdict.elements:,} attention outputs of {verdict.steps} steps, largest error "
        f"{verdict.worst:.2f} of the bound; next token as with float64 attention in {right} of "
        f"{verdict.steps} ... {'OK' if verdict.ok else 'FAILED'}"
    )
