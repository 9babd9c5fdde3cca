"""Whether a contender computed the right thing: its error against float64."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from flashdec import reference
from flashdec._storage import Array, to_float32
from flashdec.bench.problem import Problem
from flashdec.reference import Exact

__all__ = ["Checked", "check_points", "error_over_bound"]

_MOST_ELEMENTS = 2**24  # of K that are widened to float64


@dataclass(frozen=True, slots=True)
class Checked:
    """The query heads of one sequence and one KV head, in float64.

    Attributes
    ----------
    sequence : int
        Of the batch.
    heads : slice
        Query heads.
    exact : Exact
        Their exact results, with a batch of one.
    """

    sequence: int
    heads: slice
    exact: Exact


def check_points(problem: Problem) -> list[Checked]:
    """Compute some (sequence, KV head) pairs in float64: all of a small problem, else a sample."""
    case = problem.case
    pairs = case.batch * case.kv_heads
    most = max(2, _MOST_ELEMENTS // (case.kv_len * case.head_dim))
    chosen = np.unique(np.linspace(0, pairs - 1, min(pairs, most)).astype(int))
    return [_exact(problem, int(pair)) for pair in chosen]


def _exact(problem: Problem, pair: int) -> Checked:
    case = problem.case
    sequence, head = divmod(pair, case.kv_heads)
    heads = slice(head * case.group_size, (head + 1) * case.group_size)
    exact = reference.exact_decode(
        to_float32(problem.q[sequence : sequence + 1, heads], problem.dtype),
        problem.rows(problem.k[0], sequence, head)[None, :, None],
        problem.rows(problem.v[0], sequence, head)[None, :, None],
    )
    return Checked(sequence, heads, exact)


def error_over_bound(problem: Problem, o: Array, checked: list[Checked]) -> float:
    """Return the largest error as a fraction of the bound that flashdec promises; NaN is infinite.

    Parameters
    ----------
    problem : Problem
        What was computed; every copy of its cache is the same.
    o : float32 array ``[batch, q_heads, head_dim]``
        The output.
    checked : list of Checked
        Of `check_points`.
    """
    worst = 0.0
    for point in checked:
        bound = reference.error_bound(point.exact, problem.dtype)
        error = np.abs(o[point.sequence, point.heads] - point.exact.o[0]) / bound[0]
        largest = float(np.max(error))
        worst = max(worst, largest if np.isfinite(largest) else np.inf)
    return worst
