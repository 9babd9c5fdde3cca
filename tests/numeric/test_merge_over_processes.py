"""A cache that is spread over four processes: each attends to its part, and all merge."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import flashdec

WORLD = 4
BATCH, HEADS, KV_HEADS, DIM, TOKENS = 2, 8, 2, 64, 203


def cache() -> tuple[Any, Any, Any]:
    draw = np.random.default_rng(9)
    make = lambda *shape: draw.standard_normal(shape).astype(np.float32)  # noqa: E731
    rows = (BATCH, TOKENS, KV_HEADS, DIM)
    return make(BATCH, HEADS, DIM), make(*rows), make(*rows)


def attend(rank: int, meeting: str, results: str) -> None:
    """What one process does: rows go round packed, o and behind it lse."""
    import torch
    import torch.distributed as dist

    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=WORLD)
    q, k, v = (torch.from_numpy(array) for array in cache())
    mine = slice(rank * TOKENS // WORLD, (rank + 1) * TOKENS // WORLD)
    o, lse = flashdec.decode(q, k[:, mine], v[:, mine], return_lse=True)
    packed = torch.empty(WORLD, BATCH, HEADS, DIM + 1)
    dist.all_gather(list(packed), torch.cat([o, lse[..., None]], -1))
    whole, whole_lse = flashdec.merge(packed[..., :-1], packed[..., -1])
    np.savez(f"{results}/{rank}.npz", o=whole.numpy(), lse=whole_lse.numpy())
    dist.destroy_process_group()


def test_a_cache_over_four_processes(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    if not torch.distributed.is_available():
        pytest.skip("this torch has no torch.distributed")
    torch.multiprocessing.spawn(attend, (str(tmp_path / "meeting"), str(tmp_path)), nprocs=WORLD)
    found = [np.load(tmp_path / f"{rank}.npz") for rank in range(WORLD)]
    q, k, v = cache()
    o, lse = flashdec.decode(q, k, v, return_lse=True)
    for each in found:
        assert each["o"].tobytes() == found[0]["o"].tobytes()
        assert np.allclose(each["o"], o, rtol=2e-6, atol=2e-6)
        assert np.allclose(each["lse"], lse, rtol=1e-6, atol=1e-6)
