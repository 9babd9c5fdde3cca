"""FlashInfer's decode attention and its XQA, both over pages; they compile when first used."""

from __future__ import annotations

import importlib
import importlib.util
from typing import Any

from flashdec.bench.cuda.lines import Line
from flashdec.bench.cuda.prepared import Prepared
from flashdec.bench.cuda.scene import Scene

__all__ = ["missing", "page_size_of", "prepare", "prepare_xqa", "refuse", "refuse_xqa"]

_PAGE = 16  # tokens, of the pages into which a cache without pages is cut
_XQA_PAGES = (16, 32, 64, 128)
_WORKSPACE_BYTES = 256 * 2**20
_workspaces: dict[str, Any] = {}


def missing() -> str:
    """Return why neither is here."""
    return "" if importlib.util.find_spec("flashinfer") else "flashinfer is not installed"


def page_size_of(line: Line) -> int:
    """Return the page size that it is told."""
    return line.page_size or _PAGE


def refuse(line: Line) -> str:
    """Refuse a cache that cannot be cut into whole pages."""
    if line.page_size == 0 and line.case.kv_len % _PAGE:
        return f"reads pages, and {line.case.kv_len} tokens are no whole number of {_PAGE}"
    return ""


def refuse_xqa(line: Line) -> str:
    """Refuse the page sizes that it has no kernel for."""
    if page_size_of(line) not in _XQA_PAGES:
        return f"has no kernel for pages of {line.page_size}"
    return refuse(line)


def _workspace(scene: Scene, name: str) -> Any:
    """Return zeroed memory, the same for every line."""
    if name not in _workspaces:
        torch = scene.gpu.torch
        _workspaces[name] = torch.zeros(
            _WORKSPACE_BYTES, dtype=torch.uint8, device=scene.gpu.device
        )
    return _workspaces[name]


def _pages(scene: Scene) -> tuple[Any, Any, list[tuple[Any, Any]]]:
    """Return table, entries in use, and (k, v) of every copy as pages."""
    if scene.page_table is not None:
        return scene.page_table, scene.page_ids, list(zip(scene.k, scene.v, strict=True))
    torch, case = scene.gpu.torch, scene.line.case
    shape = (-1, _PAGE, case.kv_heads, case.head_dim)
    count = case.batch * case.kv_len // _PAGE
    ids = torch.arange(count, dtype=torch.int32, device=scene.gpu.device)
    caches = [(k.view(shape), v.view(shape)) for k, v in zip(scene.k, scene.v, strict=True)]
    return ids.view(case.batch, -1), ids, caches


def prepare(scene: Scene) -> Prepared:
    """Plan a batch decode."""
    torch, case = scene.gpu.torch, scene.line.case
    flashinfer: Any = importlib.import_module("flashinfer")
    page = page_size_of(scene.line)
    _, ids, caches = _pages(scene)
    lengths = torch.tensor(scene.line.kv_lens, dtype=torch.int32)
    counts = (lengths + page - 1) // page
    starts = torch.zeros(case.batch + 1, dtype=torch.int32)
    starts[1:] = torch.cumsum(counts, 0)
    wrapper = flashinfer.BatchDecodeWithPagedKVCacheWrapper(
        _workspace(scene, "flashinfer"), "NHD", use_tensor_cores=True
    )
    wrapper.plan(
        starts.to(scene.gpu.device),
        ids,
        (lengths - (counts - 1) * page).to(scene.gpu.device),
        case.q_heads,
        case.kv_heads,
        case.head_dim,
        page,
        q_data_type=scene.q.dtype,
        kv_data_type=scene.q.dtype,
    )
    o = scene.new_output()

    def run(copy: int) -> Any:
        return wrapper.run(scene.q, caches[copy], out=o)

    return Prepared(run)


def prepare_xqa(scene: Scene) -> Prepared:
    """Plan nothing: XQA decides in every call."""
    decode: Any = importlib.import_module("flashinfer.decode")
    table, _, caches = _pages(scene)
    workspace, o = _workspace(scene, "xqa"), scene.new_output()
    longest, scale = max(scene.line.kv_lens), scene.line.case.head_dim**-0.5

    def run(copy: int) -> Any:
        return decode.trtllm_batch_decode_with_kv_cache(
            scene.q,
            caches[copy],
            workspace,
            table,
            scene.kv_len,
            longest,
            bmm1_scale=scale,
            bmm2_scale=1.0,
            kv_layout="NHD",
            backend="xqa",
            out=o,
        )

    return Prepared(run)
