"""Run one case and say what is wrong with it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from flashdec import reference
from flashdec._storage import Array, to_float32
from flashdec.args import PointerArgs
from flashdec._abi import ARGS_UNIFORM_KV_LEN
from flashdec.errors import FlashdecError
from flashdec.plan import Plan
from flashdec.preference import PlanPreference
from flashdec.selftest.cases import Case
from flashdec.selftest.carriers import Carrier, host_carrier
from flashdec.selftest.problem import Problem, make_problem, spaced
from flashdec.workspace import ALIGNMENT, Workspace

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
    """Set ``FLASHDEC_ISA`` meanwhile, unless the target is "cuda"."""
    before = os.environ.get("FLASHDEC_ISA")
    if target != "cuda":
        os.environ["FLASHDEC_ISA"] = target
    try:
        yield
    finally:
        if before is None:
            os.environ.pop("FLASHDEC_ISA", None)
        else:
            os.environ["FLASHDEC_ISA"] = before


@dataclass(frozen=True, slots=True)
class _Written:
    """What a run left: views, and the bytes round them."""

    o: Array
    lse: Array | None
    status: int

    def same_bits(self, other: _Written) -> bool:
        """Whether two runs left the same bytes, padding included."""
        lse = (self.lse, other.lse)
        same_lse = lse[0] is None or lse[1] is None or lse[0].tobytes() == lse[1].tobytes()
        return _bytes_of(self.o).tobytes() == _bytes_of(other.o).tobytes() and same_lse


def check(case: Case, cuda: Carrier | None = None) -> Outcome:
    """Run a case twice and compare with float64.

    Parameters
    ----------
    case : Case
        The case.
    cuda : Carrier, optional
        Carries arrays to the GPU, for cases whose target is "cuda".
    """
    problem = make_problem(case)
    carrier = cuda if case.target == "cuda" and cuda is not None else host_carrier()
    try:
        plan = _select(problem, case.threads)
        first = _run(plan, problem, carrier, _garbage(case.seed))
        again = _run(plan, problem, carrier, 0xFF)
        other = None
        if case.batch_invariant:
            other = _run(_select(problem, case.threads % 3 + 1), problem, carrier, 0x00)
    except FlashdecError as error:
        return Outcome(case, "", 0.0, f"refused: {error}")
    worst, failure = _compare(problem, plan, first)
    if not failure and not first.same_bits(again):
        failure = "a repetition gave other bits"
    if not failure and other is not None and not first.same_bits(other):
        failure = "another number of threads gave other bits in spite of batch_invariant"
    return Outcome(case, plan.sku.name, worst, failure)


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


def _garbage(seed: int) -> int:
    return seed % 255


def _bytes_of(view: Array) -> Array:
    """Return the bytes of the whole array behind a spaced view, packed."""
    base = view.base if view.base is not None else view
    while base.base is not None:
        base = base.base
    assert isinstance(base, np.ndarray)
    return np.ascontiguousarray(base).view(np.uint8).reshape(-1)


class _Upload:
    """Uploads arrays and keeps them alive."""

    def __init__(self, carrier: Carrier) -> None:
        self._carrier = carrier
        self.kept: list[Any] = []

    def __call__(self, array: Array) -> int:
        address, handle = self._carrier.upload(_bytes_of(array))
        self.kept.append(handle)
        return address


def _run(plan: Plan, problem: Problem, carrier: Carrier, garbage: int) -> _Written:
    """Run into poisoned outputs with a workspace full of some byte."""
    case = problem.case
    upload = _Upload(carrier)
    o = spaced((case.batch, case.q_heads, case.head_dim_v), case)
    lse = np.full((case.batch, case.q_heads), np.nan, np.float32) if case.lse else None
    status = np.zeros(1, np.uint32)
    args = _inputs(problem, upload)
    scratch = np.full(plan.workspace_size + ALIGNMENT, garbage, np.uint8)
    start = upload(scratch)
    skipped = -start % ALIGNMENT
    workspace = Workspace(start + skipped, plan.workspace_size, plan.device, upload.kept[-1])
    outputs: list[tuple[str, Array]] = [("o", o), ("status", status)]
    if lse is not None:
        outputs.append(("lse", lse))
        args.lse_stride_batch, args.lse_stride_head = case.q_heads, 1
    handles = []
    for name, array in outputs:
        setattr(args, name, upload(array))
        handles.append(upload.kept[-1])
    _set_strides(args, "o", o)
    plan.run(args, workspace if plan.workspace_size else None)
    for (_, array), handle in zip(outputs, handles, strict=True):
        carrier.download(handle, _bytes_of(array))
    return _Written(o, lse, int(status[0]))


def _set_strides(args: PointerArgs, name: str, array: Array) -> None:
    """Set the strides of q or o: one token per sequence."""
    batch, head = (stride // array.itemsize for stride in array.strides[:2])
    setattr(args, f"{name}_stride_batch", batch)
    setattr(args, f"{name}_stride_token", batch)
    setattr(args, f"{name}_stride_head", head)


def _inputs(problem: Problem, upload: _Upload) -> PointerArgs:
    case = problem.case
    args = PointerArgs(q=upload(problem.q))
    _set_strides(args, "q", problem.q)
    for name, array in (("k", problem.k), ("v", problem.v)):
        block, first, second = (stride // array.itemsize for stride in array.strides[:3])
        token, head = (second, first) if case.layout == "bhsd" else (first, second)
        setattr(args, name, upload(array))
        setattr(args, f"{name}_stride_batch", block)
        setattr(args, f"{name}_stride_token", token)
        setattr(args, f"{name}_stride_head", head)
    if problem.kv_len is not None:
        args.kv_len = upload(problem.kv_len)
    elif case.lengths == "one":
        args.flags, args.uniform_kv_len = ARGS_UNIFORM_KV_LEN, problem.uniform_kv_len
    if problem.page_table is not None:
        args.page_table = upload(problem.page_table)
        args.page_table_stride = problem.page_table.shape[1]
    return args


def _compare(problem: Problem, plan: Plan, written: _Written) -> tuple[float, str]:
    """Return the largest error as a fraction of the bound, and what is wrong."""
    exact, element = problem.exact, problem.case.element
    bound = reference.error_bound(
        exact, element, plan.sku.precision_guarantee.math_precision
    )
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
                empty, np.where(np.isneginf(written.lse), 0.0, np.inf),
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
