"""Run a problem once, by addresses or by arrays."""

from __future__ import annotations

import importlib
import importlib.util
from dataclasses import dataclass
from typing import Any

import numpy as np

from flashdec._abi import ARGS_UNIFORM_KV_LEN
from flashdec._storage import Array
from flashdec.args import Args, PointerArgs
from flashdec.dtypes import DType
from flashdec.plan import Plan
from flashdec.selftest.carriers import Carrier
from flashdec.selftest.cases import Case
from flashdec.selftest.problem import Problem, spaced
from flashdec.workspace import ALIGNMENT, Workspace

__all__ = ["Written", "arrays_can_hold", "run_arrays", "run_pointers"]


@dataclass(frozen=True, slots=True)
class Written:
    """What a run left: views, and the bytes round them."""

    o: Array
    lse: Array | None
    status: int

    def same_bits(self, other: Written) -> bool:
        """Whether two runs left the same bytes, padding included."""
        lse = (self.lse, other.lse)
        same_lse = lse[0] is None or lse[1] is None or lse[0].tobytes() == lse[1].tobytes()
        return bytes_of(self.o).tobytes() == bytes_of(other.o).tobytes() and same_lse


def bytes_of(view: Array) -> Array:
    """Return the bytes of the whole array behind a spaced view, packed."""
    base = view.base if view.base is not None else view
    while base.base is not None:
        base = base.base
    assert isinstance(base, np.ndarray)
    return np.ascontiguousarray(base).view(np.uint8).reshape(-1)


def _outputs(case: Case) -> tuple[Array, Array | None, Array]:
    o = spaced((case.batch, case.q_heads, case.head_dim_v), case)
    lse = np.full((case.batch, case.q_heads), np.nan, np.float32) if case.lse else None
    return o, lse, np.zeros(1, np.uint32)


class _Upload:
    """Uploads arrays and keeps them alive."""

    def __init__(self, carrier: Carrier) -> None:
        self._carrier = carrier
        self.kept: list[Any] = []

    def __call__(self, array: Array) -> int:
        address, handle = self._carrier.upload(bytes_of(array))
        self.kept.append(handle)
        return address


def run_pointers(plan: Plan, problem: Problem, carrier: Carrier, garbage: int) -> Written:
    """Run by addresses, into poisoned outputs, with a workspace full of the byte `garbage`.

    Raises
    ------
    FlashdecError
        If the library refuses.
    """
    case = problem.case
    upload = _Upload(carrier)
    o, lse, status = _outputs(case)
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
        carrier.download(handle, bytes_of(array))
    return Written(o, lse, int(status[0]))


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


def arrays_can_hold(element: DType) -> bool:
    """Whether NumPy arrays can be of an element type here: bfloat16 takes ml_dtypes."""
    return element is not DType.BFLOAT16 or importlib.util.find_spec("ml_dtypes") is not None


def run_arrays(plan: Plan, problem: Problem) -> Written:
    """Run by `flashdec.Args` over NumPy arrays.

    Raises
    ------
    FlashdecError
        If the library refuses.
    """
    case = problem.case

    def typed(storage: Array) -> Array:
        if case.element is not DType.BFLOAT16:
            return storage
        return storage.view(importlib.import_module("ml_dtypes").bfloat16)

    o, lse, status = _outputs(case)
    args = Args(
        q=typed(problem.q),
        k=typed(problem.k),
        v=typed(problem.v),
        o=typed(o),
        lse=lse,
        kv_len=problem.uniform_kv_len if case.lengths == "one" else problem.kv_len,
        page_table=problem.page_table,
        status=status,
        layout=case.layout,
    )
    plan.run(args, Workspace.allocate(plan))
    return Written(o, lse, int(status[0]))
