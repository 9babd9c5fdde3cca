"""Ways to ask PyTorch for decode attention on the CPU; PyTorch is imported when one is prepared."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np

from flashdec._storage import Array
from flashdec.bench.problem import Problem
from flashdec.dtypes import DType

__all__ = [
    "prepare_enable_gqa",
    "prepare_expanded",
    "prepare_folded",
    "prepare_matmul",
    "refuse_pages",
    "refuse_without_group",
    "tensor_of",
    "values",
    "without_gradients",
]

Run = Callable[[int], Any]


def refuse_pages(problem: Problem) -> str:
    """PyTorch's functions read no page table."""
    return "reads no page table" if problem.page_size else ""


def refuse_without_group(problem: Problem) -> str:
    """With one query head per KV head these calls are the same as ``enable_gqa``."""
    if problem.case.group_size == 1:
        return "the same call as enable_gqa where Hq = Hkv"
    return refuse_pages(problem)


def _torch(threads: int) -> Any:
    torch = importlib.import_module("torch")
    torch.set_num_threads(threads)
    return torch


def tensor_of(torch: Any, storage: Array, problem: Problem) -> Any:
    """Return the same memory as a tensor."""
    if problem.dtype is DType.BFLOAT16:
        return torch.from_numpy(storage.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(storage)


def _inputs(problem: Problem, torch: Any) -> tuple[Any, list[Any], list[Any]]:
    """Return q ``[batch, q_heads, D]`` and copies of k, v ``[batch, kv_heads, kv_len, D]``."""

    def heads_first(cache: Array) -> Any:
        tensor = tensor_of(torch, cache, problem)
        return tensor if problem.layout == "bhsd" else tensor.transpose(1, 2)

    k = [heads_first(cache) for cache in problem.k]
    v = [heads_first(cache) for cache in problem.v]
    return tensor_of(torch, problem.q, problem), k, v


def without_gradients(torch: Any, threads: int, run: Run) -> Run:
    """Set the number of threads at every run: contenders of other thread counts alternate."""

    def guarded(copy: int) -> Any:
        if torch.get_num_threads() != threads:
            torch.set_num_threads(threads)
        with torch.inference_mode():
            return run(copy)

    return guarded


def prepare_enable_gqa(problem: Problem, threads: int) -> Run:
    """``scaled_dot_product_attention(q, k, v, enable_gqa=True)``."""
    torch = _torch(threads)
    q, k, v = _inputs(problem, torch)
    attend = torch.nn.functional.scaled_dot_product_attention
    q4, gqa = q[:, :, None], problem.case.group_size > 1
    return without_gradients(
        torch, threads, lambda copy: attend(q4, k[copy], v[copy], enable_gqa=gqa)
    )


def prepare_expanded(problem: Problem, threads: int) -> Run:
    """SDPA after every KV head was repeated for the query heads of its group."""
    torch = _torch(threads)
    q, k, v = _inputs(problem, torch)
    attend = torch.nn.functional.scaled_dot_product_attention
    q4, group = q[:, :, None], problem.case.group_size

    def run(copy: int) -> Any:
        wide_k = k[copy].repeat_interleave(group, dim=1)
        return attend(q4, wide_k, v[copy].repeat_interleave(group, dim=1))

    return without_gradients(torch, threads, run)


def _fold(q: Any, problem: Problem) -> Any:
    case = problem.case
    return q.view(case.batch, case.kv_heads, case.group_size, case.head_dim)


def prepare_folded(problem: Problem, threads: int) -> Run:
    """SDPA with the query heads of a group as the query-length axis."""
    torch = _torch(threads)
    q, k, v = _inputs(problem, torch)
    attend = torch.nn.functional.scaled_dot_product_attention
    folded = _fold(q, problem)
    return without_gradients(torch, threads, lambda copy: attend(folded, k[copy], v[copy]))


def prepare_matmul(problem: Problem, threads: int) -> Run:
    """Two matrix products with the group folded, and a softmax in float32 between them."""
    torch = _torch(threads)
    q, k, v = _inputs(problem, torch)
    folded = _fold(q, problem) * problem.case.head_dim**-0.5

    def run(copy: int) -> Any:
        scores = torch.matmul(folded, k[copy].transpose(2, 3))
        p = torch.softmax(scores, dim=-1, dtype=torch.float32).to(q.dtype)
        return torch.matmul(p, v[copy])

    return without_gradients(torch, threads, run)


def values(problem: Problem, result: Any) -> Array:
    """Return a result as ``[batch, q_heads, head_dim]`` in float32."""
    case = problem.case
    wide: Array = result.reshape(case.batch, case.q_heads, case.head_dim).float().numpy()
    return wide
