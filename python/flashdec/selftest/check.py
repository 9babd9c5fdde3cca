"""Run one case several times and say what is wrong with it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from flashdec import reference
from flashdec._storage import Array, to_float32
from flashdec.errors import FlashdecError
from flashdec.plan import Plan
from flashdec.preference import PlanPreference
from flashdec.selftest.carriers import Carrier, host_carrier
from flashdec.selftest.cases import Case
from flashdec.selftest.problem import Problem, make_problem
from flashdec.selftest.run import Written, arrays_can_hold, run_arrays, run_pointers

__all__ = ["Outcome", "check", "forced_isa"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a case.

    Attributes
    ----------
    case : Case
        The case.
    kernel : str
        That ran; "" if none was selected.
    worst : float
        Largest error as a fraction of the bound.
    failure : str
        What is wrong, a few words; "" if nothing is.
    """

    case: Case
    kernel: str
    worst: float
    failure: str


@contextlib.contextmanager
def forced_isa(target: str) -> Iterator[None]:
    """Set ``FLASHDEC_ISA`` meanwhile; for "cuda" leave it unset."""
    before = os.environ.pop("FLASHDEC_ISA", None)
    if target != "cuda":
        os.environ["FLASHDEC_ISA"] = target
    try:
        yield
    finally:
        if before is None:
            os.environ.pop("FLASHDEC_ISA", None)
        else:
            os.environ["FLASHDEC_ISA"] = before


def check(case: Case, cuda: Carrier | None = None) -> Outcome:
    """Run a case and its repetitions, and compare with float64.

    Parameters
    ----------
    case : Case
        The case.
    cuda : Carrier, optional
        Carries arrays to the GPU, for cases whose target is "cuda".
    """
    problem = make_problem(case)
    kernel = ""
    try:
        plan = _select(problem, case.threads)
        kernel = plan.sku.name
        carrier = cuda if case.target == "cuda" and cuda is not None else host_carrier()
        first = run_pointers(plan, problem, carrier, garbage=case.seed % 255)
        worst, failure = _compare(problem, plan, first)
        return Outcome(case, kernel, worst, failure or _repeat(plan, problem, carrier, first))
    except FlashdecError as error:
        return Outcome(case, kernel, 0.0, f"refused: {error}")


def _repeat(plan: Plan, problem: Problem, carrier: Carrier, first: Written) -> str:
    """Run again in ways that must not change a bit; return the first that does."""
    case = problem.case
    if not first.same_bits(run_pointers(plan, problem, carrier, garbage=0xFF)):
        return "a repetition gave other bits"
    by_arrays = plan.device == "cpu" and arrays_can_hold(case.element)
    if by_arrays and not first.same_bits(run_arrays(plan, problem)):
        return "arrays gave other bits than their addresses"
    if case.batch_invariant:
        other = _select(problem, case.threads % 3 + 1)
        if not first.same_bits(run_pointers(other, problem, carrier, garbage=0)):
            return "another number of threads gave other bits in spite of batch_invariant"
    return ""


def _select(problem: Problem, threads: int) -> Plan:
    case = problem.case
    preference = PlanPreference(
        prefer_backend="cuda" if case.target == "cuda" else "cpu",
        batch_invariant=case.batch_invariant,
        split_len=case.split_len,
        num_threads=threads,
    )
    with forced_isa(case.target):
        return Plan.select(problem.descriptor, preference)


def _compare(problem: Problem, plan: Plan, written: Written) -> tuple[float, str]:
    """Return the largest error as a fraction of the bound, and what is wrong."""
    exact, element = problem.exact, problem.case.element
    bound = reference.error_bound(exact, element, plan.sku.precision_guarantee.math_precision)
    error = np.abs(to_float32(written.o, element) - exact.o)
    if written.status:
        return 0.0, f"the status word is {written.status} where nothing is wrong"
    if not np.all(error <= bound):
        place = tuple(map(int, np.argwhere(~(error <= bound))[0]))
        return float(np.nanmax(error / bound)), (
            f"o[{', '.join(map(str, place))}] is {to_float32(written.o, element)[place]:.9g}, "
            f"exactly {exact.o[place]:.9g}, bound {bound[place]:.2g}"
        )
    if written.lse is not None:
        empty = np.isneginf(exact.lse)
        with np.errstate(invalid="ignore"):
            lse_error = np.where(
                empty,
                np.where(np.isneginf(written.lse), 0.0, np.inf),
                np.abs(written.lse - exact.lse),
            )
        if not np.all(lse_error <= reference.lse_bound(exact)):
            return float(np.max(error / bound)), "lse is beyond its bound"
    return float(np.max(error / bound)), _padding_failure(written.o)


def _padding_failure(o: Array) -> str:
    """Whether something was written between the rows of o."""
    whole = o.base
    if whole is None or whole.shape == o.shape:
        return ""
    between = np.ascontiguousarray(whole[..., o.shape[-1] :]).view(np.uint8)
    return "" if np.all(between == 0xFF) else "something was written between the rows of o"
