"""FlashAttention-3 as vLLM builds it: a shared object of torch operators."""

from __future__ import annotations

import importlib
import os
from pathlib import Path
from typing import Any

from flashdec.bench.cuda.lines import Line
from flashdec.bench.cuda.prepared import Prepared
from flashdec.bench.cuda.scene import Scene

__all__ = ["VARIABLE", "arguments_for", "missing", "prepare", "refuse"]

VARIABLE = "FLASHDEC_FA3"
"""The environment variable that names the shared object."""

_NAMESPACE = "_vllm_fa3_C"
_FLAGS = {
    "is_causal": True,  # as vLLM calls it: the same for one token, and in pages the faster kernel
    "window_size_left": -1,
    "window_size_right": -1,
    "softcap": 0.0,
    "has_softcap": False,
    "is_rotary_interleaved": True,
    "num_splits": 0,
    "sm_margin": 0,
    "max_seqlen_k_new": 0,
    "cp_world_size": 1,
    "cp_rank": 0,
}


def missing() -> str:
    """Return why it is not here: the variable names no file."""
    path = os.environ.get(VARIABLE, "")
    if not path:
        return f"not installed: {VARIABLE} does not name its {_NAMESPACE}.abi3.so"
    return "" if Path(path).is_file() else f"not installed: {VARIABLE} names no file"


def refuse(line: Line) -> str:
    """Refuse nothing."""
    return ""


def arguments_for(schema: Any, values: dict[str, Any]) -> list[Any]:
    """Return the arguments of an operator in their order; those that nobody names are None.

    Versions of the operators differ in what they take.

    Parameters
    ----------
    schema : torch.FunctionSchema
        The operator's.
    values : dict
        By name; names that the operator does not know are left out.
    """
    known = {**_FLAGS, **values}
    return [known.get(argument.name) for argument in schema.arguments]


def _operators(torch: Any) -> Any:
    torch.ops.load_library(os.environ[VARIABLE])
    return getattr(torch.ops, _NAMESPACE)


def _metadata(scene: Scene, operators: Any, shared: dict[str, Any]) -> Any:
    """Return what vLLM makes once a step, for all layers."""
    case = scene.line.case
    sizes = {
        **shared,
        **dict.fromkeys(("num_heads", "num_heads_q"), case.q_heads),
        **dict.fromkeys(("num_heads_k", "num_heads_kv"), case.kv_heads),
        "batch_size": case.batch,
        "headdim": case.head_dim,
        "headdim_v": case.head_dim,
        "qkv_dtype": scene.q.dtype,
        "page_size": scene.line.page_size or None,
    }
    operator = operators.get_scheduler_metadata
    return operator(*arguments_for(operator.default._schema, sizes))


def prepare(scene: Scene) -> Prepared:
    """Make the scheduler's metadata, and bind everything but k and v."""
    torch: Any = importlib.import_module("torch")
    operators, case, paged = _operators(torch), scene.line.case, scene.page_table is not None
    o = scene.new_output()
    shared: dict[str, Any] = {
        "seqused_k": scene.kv_len,
        "max_seqlen_q": 1,
        "max_seqlen_k": max(scene.line.kv_lens),
    }
    if paged:
        ones = torch.arange(case.batch + 1, dtype=torch.int32, device=scene.gpu.device)
        shared["cu_seqlens_q"] = ones
        shared |= dict.fromkeys(("page_table", "block_table"), scene.page_table)
    bound = {
        **shared,
        "q": scene.q if paged else scene.q[:, None],
        "out": o if paged else o[:, None],
        "softmax_scale": case.head_dim**-0.5,
        "scheduler_metadata": _metadata(scene, operators, shared),
    }
    forward, schema = operators.fwd, operators.fwd.default._schema
    calls = [
        arguments_for(schema, {**bound, "k": k, "v": v})
        for k, v in zip(scene.k, scene.v, strict=True)
    ]

    def run(copy: int) -> Any:
        forward(*calls[copy])
        return o

    return Prepared(run)
