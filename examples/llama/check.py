"""Compare every decode step with float64 attention, teacher-forced on the same cache.

Two questions are asked of each step.

1. *Is every element of every attention right?* The output of flashdec is compared with float64
   attention on the very same bfloat16 query and cache. The difference must be within rule 7 of
   flashdec.h, an absolute bound per element, which also covers the rounding to bfloat16.
2. *Would exact attention have said the same token?* The step is repeated with the float64 outputs
   in place of flashdec's, in every layer, and the token with the largest logit must be the same.
   Only a tie may fall the other way: the two largest float64 logits closer together than
   attention errors within rule 7 can move them apart.

How far that is, is measured, and without looking at what flashdec computed: the step is repeated
with every element of every float64 output moved by its whole bound, up or down at random, a few
times over. With d the largest change of any logit of the step in these draws, two logits may swap
if they are within 2 d. The draws are not the worst case (signs that conspire through all layers
could do more), but each element is off by its whole bound, where rounding reaches it rarely, so
d is larger than what a library that keeps the rule does in practice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from .bf16 import F32, to_float32
from .kv_cache import PagedCache
from .model import Llama
from .reference import F64, exact_attention
from .trace import Trace

# Steps repeated together: the weights are read once for all of them.
_BLOCK = 64
_DRAWS = 3


@dataclass
class Verdict:
    """What the check saw.

    Attributes
    ----------
    steps, elements
        Decode steps, and elements of attention output compared.
    worst
        The largest share of its bound that an element's error takes; over 1 is a breach.
    differing
        Steps whose argmax differs from the float64 run's.
    ties
        Those of them whose two largest float64 logits are a tie.
    gap, allowance
        Among the differing steps, the widest gap between the two logits and the largest d.
    """

    steps: int = 0
    elements: int = 0
    worst: float = 0.0
    differing: int = 0
    ties: int = 0
    gap: float = 0.0
    allowance: float = 0.0

    @property
    def ok(self) -> bool:
        """Whether both questions were answered yes."""
        # A NaN is not at most 1.
        return self.worst <= 1.0 and self.differing == self.ties


def check(
    model: Llama, cache: PagedCache, trace: Trace, progress: Callable[[int], None]
) -> Verdict:
    """Check every step of ``trace``; ``progress`` is called with the number of steps done."""
    verdict = Verdict()
    for first in range(0, len(trace), _BLOCK):
        block = trace.cut(first, first + _BLOCK)
        exact, bound = _exact_outputs(cache, block)
        _judge_elements(verdict, block, exact, bound)
        _judge_logits(verdict, model, block, exact, bound)
        progress(len(block))
    return verdict


def _exact_outputs(cache: PagedCache, block: Trace) -> tuple[F64, F64]:
    """Return the float64 outputs and their bound, ``[steps, layers, q_heads, head_dim_v]``."""
    queries = to_float32(np.stack(block.queries))
    lengths = np.array(block.lengths)
    pairs = [
        exact_attention(queries[:, layer], *cache.read(layer), lengths)
        for layer in range(queries.shape[1])
    ]
    exact, bound = zip(*pairs, strict=True)
    return np.stack(exact, axis=1), np.stack(bound, axis=1)


def _judge_elements(verdict: Verdict, block: Trace, exact: F64, bound: F64) -> None:
    share = np.abs(to_float32(np.stack(block.outputs)) - exact) / bound
    verdict.steps += len(block)
    verdict.elements += share.size
    # np.maximum keeps a NaN, where max() might drop it and with it the failure.
    verdict.worst = float(np.maximum(verdict.worst, share.max()))


def _judge_logits(verdict: Verdict, model: Llama, block: Trace, exact: F64, bound: F64) -> None:
    logits = _replay(model, block.tokens, exact)
    differs = np.flatnonzero(logits.argmax(axis=1) != np.array(block.argmax))
    if not len(differs):
        return
    logits, tokens = logits[differs], [block.tokens[step] for step in differs]
    draws = _moved(exact[differs], bound[differs])
    changes = [np.abs(_replay(model, tokens, draw) - logits).max(axis=1) for draw in draws]
    allowance = np.max(changes, axis=0)
    second, first = np.partition(logits, -2, axis=1)[:, -2:].T
    verdict.differing += len(differs)
    verdict.ties += int((first - second <= 2 * allowance).sum())
    verdict.gap = max(verdict.gap, float((first - second).max()))
    verdict.allowance = max(verdict.allowance, float(allowance.max()))


def _moved(exact: F64, bound: F64) -> Iterator[F64]:
    """Yield the draws: each element moved by its whole bound, up or down."""
    random = np.random.default_rng(0)
    for _ in range(_DRAWS):
        yield exact + random.choice((-1.0, 1.0), exact.shape) * bound


def _replay(model: Llama, tokens: list[int], outputs: F64) -> F32:
    """Return the logits of the steps of ``tokens`` had attention given ``outputs``."""
    x = model.embed(tokens)
    for layer in range(model.sizes.layers):
        x = model.finish(layer, x, outputs[:, layer].astype(np.float32))
    return model.logits(x)
