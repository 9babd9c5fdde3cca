"""The running state of core/softmax_state.h: merges, empty states, poison."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

INF = math.inf
LOG2_E = math.log2(math.e)

STATES = [
    (0.0, 1.0), (-0.0, 1.0), (3.5, 17.25), (-1000.0, 1e-30), (1e30, 3e38), (-3e38, 1.0),
    (5.0, 1e-45), (-INF, 4.0), (12.375, INF),
]  # fmt: skip


def merge(core: Any, state: Any, part: Any) -> tuple[Any, float, float]:
    """Return the state as bits, and the factors on the o of each."""
    out = np.zeros(4, np.float32)
    sources = [np.array(each, np.float32) for each in (state, part)]
    core.unit_merge(*(each.ctypes for each in sources), out.ctypes)
    return out[:2].view(np.uint32).tolist(), float(out[2]), float(out[3])


def made(core: Any, name: str) -> Any:
    out = np.zeros(2, np.float32)
    getattr(core, f"unit_{name}_state")(out.ctypes)
    return out


def bits(state: Any) -> Any:
    return np.array(state, np.float32).view(np.uint32).tolist()


def test_empty_state_is_minus_infinity_and_zero(core: Any) -> None:
    assert made(core, "empty").tolist() == [-INF, 0.0]
    assert core.unit_lse(-INF, 0.0) == -INF


@pytest.mark.parametrize("state", STATES, ids=str)
def test_merging_an_empty_state_changes_no_bit(core: Any, state: tuple[float, float]) -> None:
    empty = made(core, "empty")
    found, keep, _ = merge(core, state, empty)
    assert found == bits(state)
    assert keep == 1.0
    found, _, add = merge(core, empty, state)
    assert found == bits(state)
    assert add == 1.0


def test_merging_two_empty_states_is_empty(core: Any) -> None:
    empty = made(core, "empty")
    assert merge(core, empty, empty) == (bits(empty), 1.0, 1.0)


@pytest.mark.parametrize("maximum", [0.0, -5.5, 3e38, -INF, INF])
def test_equal_maxima_are_not_rescaled(core: Any, maximum: float) -> None:
    assert core.unit_rescale_factor(maximum, maximum) == 1.0


@pytest.mark.parametrize(
    ("source", "target", "factor"),
    [(-INF, 0.0, 0.0), (-INF, INF, 0.0), (0.0, 1.0, 0.5), (-3.0, 7.0, 2.0**-10), (0, 2000, 0.0)],
)
def test_rescale_factor(core: Any, source: float, target: float, factor: float) -> None:
    assert core.unit_rescale_factor(source, target) == factor


@pytest.mark.parametrize("state", [*STATES, (-INF, 0.0), (math.nan, math.nan)], ids=str)
def test_poison_stays(core: Any, state: tuple[float, float]) -> None:
    poison = made(core, "poisoned")
    assert np.all(np.isnan(poison))
    for pair in ((state, poison), (poison, state)):
        merged, keep, add = merge(core, *pair)
        total = np.array(merged, np.uint32).view(np.float32)[1]
        assert math.isnan(total)
        assert math.isnan(keep if pair[0] is poison else add)  # so that o becomes NaN, too
        assert math.isnan(core.unit_lse(0.0, float(total)))


def test_scores_of_minus_infinity_have_a_reference(core: Any) -> None:
    """exp2(-inf - m) with m = -inf would be NaN."""
    assert core.unit_reference_score(-INF) == 0.0
    assert core.unit_reference_score(2.5) == 2.5
    assert math.isnan(core.unit_reference_score(math.nan))


@pytest.mark.parametrize("seed", range(20))
def test_merge_in_any_cut_gives_the_logarithm_of_the_sum(core: Any, seed: int) -> None:
    random = np.random.default_rng(seed)
    scores = random.normal(0, 20, 64)
    state = made(core, "empty")
    for part in np.split(scores, np.sort(random.choice(np.arange(1, 64), 5, replace=False))):
        top = np.float32(part.max() * LOG2_E)
        total = np.exp2(part * LOG2_E - top).sum()
        merged, _, _ = merge(core, state, (top, total))
        state = np.array(merged, np.uint32).view(np.float32)
    wanted = np.logaddexp.reduce(scores)
    assert abs(core.unit_lse(*map(float, state)) - wanted) <= 1e-5 * max(1, abs(wanted))
