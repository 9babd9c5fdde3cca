"""What a checked ``plan.run`` on CUDA tensors costs the host, with one launch and with two.

Calls are timed in blocks, outside any graph, with the stream drained between blocks: the queue of
launches never fills, so that no call waits for the GPU.  Six arrays take part: q, k, v, o, kv_len
and page_table.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from statistics import median
from time import perf_counter
from typing import Any

from flashdec.args import Args
from flashdec.bench.cuda.contenders import VARIANTS, new_workspace, select_plan
from flashdec.bench.cuda.gpu import Gpu
from flashdec.bench.cuda.lines import Line
from flashdec.bench.shapes import parse_case

__all__ = ["OVERHEAD_VARIANTS", "CudaOverhead", "block_us", "measure_cuda_overhead"]

OVERHEAD_VARIANTS = ("default", "two-launches")
_LINE = Line(parse_case("1,32,8,128,4k"), page_size=16, rule="paged")
_BLOCK = 200  # calls between two looks at the clock


@dataclass(frozen=True, slots=True)
class CudaOverhead:
    """Host time per call, in microseconds: medians.

    Attributes
    ----------
    name : str
        Of the variant.
    empty : float
        A Python function that does nothing: how fast the processor is at the moment.
    bound : float
        ``plan.run`` of what `Plan.bind` has made: no tensor is read.
    run : float
        ``plan.run`` of `Args`: tensors are read every time.
    kernel : str
        What ran.
    """

    name: str
    empty: float
    bound: float
    run: float
    kernel: str


def _arrays(gpu: Gpu) -> dict[str, Any]:
    torch, case, element = gpu.torch, _LINE.case, gpu.element(_LINE.dtype)
    pages = sum(_LINE.pages)

    def values(*shape: int) -> Any:
        return torch.randn(shape, dtype=element, device=gpu.device)

    cache = (pages, _LINE.page_size, case.kv_heads, case.head_dim)
    rows = (case.batch, case.q_heads, case.head_dim)
    ids = torch.arange(pages, dtype=torch.int32, device=gpu.device)
    return {
        "q": values(*rows),
        "k": values(*cache),
        "v": values(*cache),
        "o": values(*rows),
        "kv_len": torch.full((case.batch,), case.kv_len, dtype=torch.int32, device=gpu.device),
        "page_table": ids.view(case.batch, -1),
    }


def _calls(gpu: Gpu, name: str) -> tuple[list[Callable[[], None]], str]:
    """Return an empty call, a run of bound tensors and one that reads them; and the kernel."""
    variant = VARIANTS[name]
    plan = select_plan(_LINE, variant)
    arrays = _arrays(gpu)
    workspace = new_workspace(plan, variant, arrays["q"])
    args = Args(**arrays)
    bound = plan.bind(args)

    # A Python function around them would cost 0.05 µs that are not the library's.
    calls: list[Callable[[], None]] = [
        lambda: None,
        partial(plan.run, bound, workspace),
        partial(plan.run, args, workspace),
    ]
    return calls, plan.sku.name


def block_us(gpu: Gpu, call: Callable[[], Any]) -> float:
    """Return microseconds per call, while the queue of launches does not fill."""
    gpu.stream.synchronize()
    start = perf_counter()
    for _ in range(_BLOCK):
        call()
    return (perf_counter() - start) / _BLOCK * 1e6


def measure_cuda_overhead(gpu: Gpu, blocks: int = 100) -> list[CudaOverhead]:
    """Measure every variant of `OVERHEAD_VARIANTS`.

    Parameters
    ----------
    gpu : Gpu
        Whose stream is the current one.
    blocks : int
        Interleaved blocks of 200 calls; medians are taken over them.
    """
    prepared = {name: _calls(gpu, name) for name in OVERHEAD_VARIANTS}
    times: dict[str, list[list[float]]] = {name: [[], [], []] for name in OVERHEAD_VARIANTS}
    for _ in range(blocks):
        for name, (calls, _) in prepared.items():
            for call, kept in zip(calls, times[name], strict=True):
                kept.append(block_us(gpu, call))
    return [
        CudaOverhead(VARIANTS[name].name, median(empty), median(bound), median(run), kernel)
        for (name, (empty, bound, run)), (_, kernel) in zip(
            times.items(), prepared.values(), strict=True
        )
    ]
