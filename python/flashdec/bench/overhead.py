"""What a checked ``plan.run`` costs the host beyond the bare C call.

Six arrays (q, k, v, o, kv_len, page_table) on the smallest of problems, so that the C call is
nearly all overhead itself.  Three variants are timed in turn, many times; medians are compared:

``bare``
    ``flashdec_run`` through ctypes with a ``flashdec_args`` filled beforehand.
``run``
    ``plan.run(args, workspace)``: arrays read and checked, and the same work, in one call.
``swap``
    All six arrays assigned to the `flashdec.Args` before ``plan.run``.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np

from flashdec import _abi
from flashdec.args import Args
from flashdec.descriptor import Descriptor
from flashdec.dtypes import DType
from flashdec.plan import Plan
from flashdec.preference import PlanPreference
from flashdec.workspace import Workspace

__all__ = ["GOAL_US", "Overhead", "measure_overhead", "overhead_libraries"]

GOAL_US = 2.0
"""Microseconds; the goal for ``run`` beyond ``bare``."""

_BLOCK = 200  # calls between two looks at the clock
_DESCRIPTOR = Descriptor.new_gqa(
    batch=1,
    q_heads=1,
    kv_heads=1,
    max_kv_len=1,
    head_dim=16,
    dtype=DType.FLOAT32,
    page_size=1,
    num_pages=1,
)
_OPERANDS = ("q", "k", "v", "o", "kv_len", "page_table")
_SHAPES = ((1, 1, 16), (1, 1, 1, 16), (1, 1, 1, 16), (1, 1, 16), (1,), (1, 1))


@dataclass(frozen=True, slots=True)
class Overhead:
    """Host time per call, in microseconds: medians.

    Attributes
    ----------
    library : str
        Of the six arrays.
    bare, run, swap : float
        See the module.
    """

    library: str
    bare: float
    run: float
    swap: float

    @property
    def run_extra(self) -> float:
        """``plan.run`` beyond the bare call."""
        return self.run - self.bare

    @property
    def swap_extra(self) -> float:
        """Six assignments and ``plan.run`` beyond the bare call."""
        return self.swap - self.bare


def _numpy_arrays() -> dict[str, Any]:
    dtypes = (np.float32,) * 4 + (np.int32,) * 2
    values = (np.ones,) * 4 + (np.ones, np.zeros)
    return {
        name: make(shape, dtype)
        for name, shape, dtype, make in zip(_OPERANDS, _SHAPES, dtypes, values, strict=True)
    }


def _torch_arrays() -> dict[str, Any]:
    torch = importlib.import_module("torch")
    return {name: torch.from_numpy(array) for name, array in _numpy_arrays().items()}


_LIBRARIES: dict[str, Callable[[], dict[str, Any]]] = {
    "numpy": _numpy_arrays,
    "torch": _torch_arrays,
}


def _variants(make_arrays: Callable[[], dict[str, Any]]) -> list[Callable[[], None]]:
    plan = Plan.select(_DESCRIPTOR, PlanPreference(prefer_backend="cpu", num_threads=1))
    workspace = Workspace.from_array(np.empty(4096, np.uint8))
    first, second = make_arrays(), make_arrays()
    args = Args(**first)
    _, struct = args.bind(plan._address)
    call, plan_at, args_at = _abi.run, plan._address, _abi.address(struct)
    scratch_at, scratch_bytes = workspace.pointer, workspace.nbytes

    def bare(kept: Any = struct) -> None:
        call(plan_at, args_at, scratch_at, scratch_bytes, None)

    def run() -> None:
        plan.run(args, workspace)

    def swap() -> None:
        nonlocal first, second
        first, second = second, first
        args.q = first["q"]
        args.k = first["k"]
        args.v = first["v"]
        args.o = first["o"]
        args.kv_len = first["kv_len"]
        args.page_table = first["page_table"]
        plan.run(args, workspace)

    return [bare, run, swap]


def _block_us(function: Callable[[], None]) -> float:
    start = perf_counter()
    for _ in range(_BLOCK):
        function()
    return (perf_counter() - start) / _BLOCK * 1e6


def measure_overhead(library: str, blocks: int = 300) -> Overhead:
    """Measure with the arrays of a library.

    Parameters
    ----------
    library : {"numpy", "torch"}
        Whose arrays.
    blocks : int
        Interleaved blocks of 200 calls per variant; medians are taken over them.
    """
    variants = _variants(_LIBRARIES[library])
    times: list[list[float]] = [[] for _ in variants]
    for _ in range(blocks):
        for variant, kept in zip(variants, times, strict=True):
            kept.append(_block_us(variant))
    return Overhead(library, *(median(kept) for kept in times))


def overhead_libraries() -> list[str]:
    """Return the libraries whose arrays can be measured here."""
    return [name for name in _LIBRARIES if importlib.util.find_spec(name) is not None]
