"""Float64 on the GPU: whether what was timed is right."""

from __future__ import annotations

from typing import Any

import numpy as np

from flashdec import reference
from flashdec.bench.accuracy import Checked
from flashdec.bench.cuda.scene import Scene
from flashdec.reference import Exact

__all__ = ["check_points", "error_over_bound"]

_MOST_PAIRS = 3  # of sequence and KV head


def check_points(scene: Scene, copy: int) -> list[Checked]:
    """Compute the first, a middle and the last (sequence, KV head) of a copy in float64."""
    case = scene.line.case
    pairs = case.batch * case.kv_heads
    chosen = np.unique(np.linspace(0, pairs - 1, min(pairs, _MOST_PAIRS)).astype(int))
    return [_exact(scene, copy, int(pair)) for pair in chosen]


def _exact(scene: Scene, copy: int, pair: int) -> Checked:
    case = scene.line.case
    sequence, head = divmod(pair, case.kv_heads)
    heads = slice(head * case.group_size, (head + 1) * case.group_size)
    q = scene.q[sequence, heads].double() * case.head_dim**-0.5
    k, v = (scene.rows(each[copy], sequence, head) for each in (scene.k, scene.v))
    scores = q @ k.T
    p = scene.gpu.torch.softmax(scores, dim=-1)
    values = {
        "o": p @ v,
        "lse": scene.gpu.torch.logsumexp(scores, dim=-1),
        "magnitude": p @ v.abs(),
        "score_terms": (q.abs() @ k.abs().T).amax(dim=-1),
    }
    on_host = {name: value[None].cpu().numpy() for name, value in values.items()}
    return Checked(sequence, heads, Exact(**on_host))


def error_over_bound(scene: Scene, o: Any, checked: list[Checked]) -> float:
    """Return the largest error as a fraction of the bound that flashdec promises; NaN is infinite.

    Parameters
    ----------
    scene : Scene
        What was computed.
    o : tensor of as many elements as q
        The output.
    checked : list of Checked
        Of `check_points`, for the copy that was computed last.
    """
    dtype = scene.line.dtype
    found = o.reshape(scene.q.shape)
    worst = 0.0
    for point in checked:
        bound = reference.error_bound(point.exact, dtype, dtype)
        values = found[point.sequence, point.heads].double().cpu().numpy()
        largest = float(np.max(np.abs(values - point.exact.o[0]) / bound[0]))
        worst = max(worst, largest if np.isfinite(largest) else np.inf)
    return worst
