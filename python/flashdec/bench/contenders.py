"""Who is measured: a table of ways to compute the same decode attention.

A contender gets a `Problem` and returns a function that computes copy ``i`` of the cache; what it
returns is read back by `Contender.values` and compared with float64 by `flashdec.bench.accuracy`.
A new contender is a new row of `CONTENDERS`.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from flashdec._storage import Array, address_of, from_float32, to_float32
from flashdec.args import PointerArgs
from flashdec.bench import torch_contenders as torch_ways
from flashdec.bench import vllm_contenders as vllm_ways
from flashdec.bench.problem import Problem
from flashdec.descriptor import Descriptor
from flashdec.plan import Plan
from flashdec.preference import PlanPreference
from flashdec.workspace import Workspace

__all__ = ["CONTENDERS", "Contender", "select_contenders"]

Run = Callable[[int], Any]

_TORCH_SPINS = 0.03
_OPENBLAS_SPINS = 0.2


@dataclass(frozen=True, slots=True)
class Contender:
    """One way to compute decode attention.

    Attributes
    ----------
    name : str
        At most 16 characters.
    about : str
        What it calls, for people.
    library : str
        The module it needs.
    refuse : callable
        ``refuse(problem)`` says in a few words why it cannot or need not compute it; "" if it can.
    prepare : callable
        ``prepare(problem, threads)`` gives the function that computes copy ``i`` of the cache.
    values : callable
        ``values(problem, result)`` gives the output ``[batch, q_heads, head_dim]`` in float32.
    settle : float
        Seconds that its idle workers may spin after a run.
    """

    name: str
    about: str
    library: str
    refuse: Callable[[Problem], str]
    prepare: Callable[[Problem, int], Run]
    values: Callable[[Problem, Any], Array]
    settle: float = _TORCH_SPINS


def _never(problem: Problem) -> str:
    return ""


def flashdec_args(problem: Problem, copy: int, o: Array) -> PointerArgs:
    """Return the arguments of a run over one copy of the cache."""
    case = problem.case
    k, v = problem.k[copy], problem.v[copy]
    block, first, second = (stride // k.itemsize for stride in k.strides[:3])
    token, head = (second, first) if problem.layout == "bhsd" else (first, second)
    args = PointerArgs(q=address_of(problem.q), k=address_of(k), v=address_of(v), o=address_of(o))
    for name in ("q", "o"):
        setattr(args, f"{name}_stride_batch", case.q_heads * case.head_dim)
        setattr(args, f"{name}_stride_token", case.q_heads * case.head_dim)
        setattr(args, f"{name}_stride_head", case.head_dim)
    for name in ("k", "v"):
        setattr(args, f"{name}_stride_batch", block)
        setattr(args, f"{name}_stride_token", token)
        setattr(args, f"{name}_stride_head", head)
    if problem.page_table is not None:
        args.page_table = address_of(problem.page_table)
        args.page_table_stride = problem.page_table.shape[1]
    return args


def select_plan(problem: Problem, threads: int) -> Plan:
    """Return the CPU plan of a problem."""
    case = problem.case
    desc = Descriptor.new_gqa(
        batch=case.batch,
        q_heads=case.q_heads,
        kv_heads=case.kv_heads,
        max_kv_len=case.kv_len,
        head_dim=case.head_dim,
        dtype=problem.dtype,
        page_size=problem.page_size,
        num_pages=problem.k[0].shape[0] if problem.page_size else 0,
    )
    return Plan.select(desc, PlanPreference(prefer_backend="cpu", num_threads=threads))


def _prepare_flashdec(problem: Problem, threads: int) -> Run:
    plan = select_plan(problem, threads)
    workspace = Workspace.allocate(plan)
    o = np.empty_like(problem.q)
    args = [flashdec_args(problem, copy, o) for copy in range(problem.copies)]

    def run(copy: int) -> Array:
        plan.run(args[copy], workspace)
        return o

    return run


def _prepare_numpy(problem: Problem, threads: int) -> Run:
    """Widen to float32, then two matrix products per sequence; BLAS chooses its threads."""
    case = problem.case
    q = to_float32(problem.q, problem.dtype) / np.float32(np.sqrt(case.head_dim))
    grouped = q.reshape(case.batch, case.kv_heads, case.group_size, case.head_dim)

    def heads(cache: Array, sequence: int) -> Array:
        """``[kv_heads, kv_len, head_dim]`` of one sequence, in float32."""
        table = problem.page_table
        found = cache[sequence] if table is None else cache[table[sequence]]
        if table is not None and problem.layout == "bhsd":
            found = found.swapaxes(1, 2)
        if table is not None:
            found = found.reshape(-1, case.kv_heads, case.head_dim)[: case.kv_len]
        wide = to_float32(found, problem.dtype)
        dense_bhsd = table is None and problem.layout == "bhsd"
        return wide if dense_bhsd else wide.swapaxes(0, 1)

    def run(copy: int) -> Array:
        o = np.empty_like(grouped)
        for b in range(case.batch):
            k, v = heads(problem.k[copy], b), heads(problem.v[copy], b)
            scores = grouped[b] @ k.swapaxes(1, 2)
            p = np.exp(scores - scores.max(axis=-1, keepdims=True))
            o[b] = (p @ v) / p.sum(axis=-1, keepdims=True)
        return from_float32(o.reshape(problem.q.shape), problem.dtype)

    return run


def _storage_values(problem: Problem, result: Any) -> Array:
    return to_float32(result, problem.dtype)


FLASHDEC = Contender(
    "flashdec", "plan.run", "flashdec", _never, _prepare_flashdec, _storage_values, settle=0
)

CONTENDERS: tuple[Contender, ...] = (
    FLASHDEC,
    Contender(
        "torch enable_gqa",
        "scaled_dot_product_attention(q, k, v, enable_gqa=True)",
        "torch",
        torch_ways.refuse_pages,
        torch_ways.prepare_enable_gqa,
        torch_ways.values,
    ),
    Contender(
        "torch expanded",
        "SDPA after repeating every KV head for its group",
        "torch",
        torch_ways.refuse_without_group,
        torch_ways.prepare_expanded,
        torch_ways.values,
    ),
    Contender(
        "torch folded",
        "SDPA with the group as the query-length axis",
        "torch",
        torch_ways.refuse_without_group,
        torch_ways.prepare_folded,
        torch_ways.values,
    ),
    Contender(
        "torch matmul",
        "matmul, softmax, matmul with the group folded",
        "torch",
        torch_ways.refuse_pages,
        torch_ways.prepare_matmul,
        torch_ways.values,
    ),
    Contender(
        "vllm",
        "cpu_attention_with_kv_cache of vLLM, on pages that its append has packed",
        "vllm",
        vllm_ways.refuse_vllm,
        vllm_ways.prepare_vllm,
        torch_ways.values,
    ),
    Contender(
        "sglang",
        "decode_attention_cpu of SGLang, as vLLM carries it",
        "vllm",
        vllm_ways.refuse_sglang,
        vllm_ways.prepare_sglang,
        torch_ways.values,
    ),
    Contender(
        "numpy",
        "widened to float32, two matrix products per sequence; BLAS chooses its threads",
        "numpy",
        _never,
        _prepare_numpy,
        _storage_values,
        settle=_OPENBLAS_SPINS,
    ),
)


def select_contenders(compare: bool) -> list[Contender]:
    """Return flashdec alone, or every contender whose library is installed."""
    if not compare:
        return [FLASHDEC]
    return [each for each in CONTENDERS if importlib.util.find_spec(each.library) is not None]
