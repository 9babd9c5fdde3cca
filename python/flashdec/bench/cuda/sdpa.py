"""PyTorch's ``scaled_dot_product_attention`` on a GPU, with a backend of choice."""

from __future__ import annotations

import importlib
from typing import Any

from flashdec.bench.cuda.lines import Line
from flashdec.bench.cuda.prepared import Prepared
from flashdec.bench.cuda.scene import Scene

__all__ = ["missing", "prepare", "refuse"]


def missing() -> str:
    """Return nothing: PyTorch is there wherever this harness runs."""
    return ""


def refuse(line: Line) -> str:
    """Refuse pages: it reads no page table."""
    return "reads no page table" if line.page_size else ""


def prepare(backend: str, scene: Scene) -> Prepared:
    """Plan nothing: ``enable_gqa``, and k and v as transposed views.

    Parameters
    ----------
    backend : str
        Of ``torch.nn.attention.SDPBackend``.
    scene : Scene
        The arrays.
    """
    attention: Any = importlib.import_module("torch.nn.attention")
    attend = scene.gpu.torch.nn.functional.scaled_dot_product_attention
    chosen = getattr(attention.SDPBackend, backend)
    q = scene.q[:, :, None]
    k = [each.transpose(1, 2) for each in scene.k]
    v = [each.transpose(1, 2) for each in scene.v]
    grouped = scene.line.case.group_size > 1

    def run(copy: int) -> Any:
        with attention.sdpa_kernel(chosen):
            return attend(q, k[copy], v[copy], enable_gqa=grouped)

    return Prepared(run)
