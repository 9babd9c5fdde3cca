"""Tensors of a GPU that is not the current one run there, and mixed ones are refused."""

from __future__ import annotations

from typing import Any

import pytest
from decode_step import make_step, ops, torch

pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(torch.cuda.device_count() < 2, reason="one GPU"),
]


@pytest.mark.parametrize("prepared", [False, True])
def test_the_other_gpu(prepared: bool) -> None:
    assert torch.cuda.current_device() == 0
    step, want = make_step("cuda:1"), make_step("cuda:0")

    def everything(step: Any) -> Any:
        workspace = None
        if prepared:
            workspace = ops.make_workspace(step.q, step.k_cache, step.v_cache)
        q = ops.append_rotary(*step.rows(), step.k_cache, step.v_cache, step.kv_len, advance=True)
        o = ops.decode(q, step.k_cache, step.v_cache, kv_len=step.kv_len, workspace=workspace)
        parts = torch.stack([o, o]), torch.zeros((2, *o.shape[:2]), device=o.device)
        return ops.merge(*parts)[0]

    got = everything(step)
    assert got.device == step.q.device
    assert torch.equal(got.cpu(), everything(want).cpu())
    assert torch.cuda.current_device() == 0


def test_a_cache_on_the_other_gpu() -> None:
    outputs = []
    for device in ("cuda:0", "cuda:1"):
        cache = ops.KVCache(
            layers=1, batch=2, capacity=64, q_heads=8, kv_heads=2, head_dim=64,
            dtype=torch.bfloat16, device=device, page_size=16,
        )  # fmt: skip
        cache.extend([40, 3])
        rows = torch.linspace(-1, 1, 2 * 40 * 2 * 64).view(2, 40, 2, 64).to(device, torch.bfloat16)
        cache.append(0, rows, rows)
        cache.reorder([1, 1])
        outputs.append(cache.decode(0, rows[:, :4].reshape(2, 8, 64)).cpu())
    assert torch.equal(*outputs)


def test_tensors_of_two_gpus_are_refused() -> None:
    step = make_step("cuda:0")
    with pytest.raises(RuntimeError, match="k is on CUDA device 1; the plan runs on device 0"):
        ops.decode(step.q, step.k_cache.to("cuda:1"), step.v_cache)
    with pytest.raises(RuntimeError, match="k_cache is on cuda:1 and k on cuda:0"):
        ops.append(step.k, step.v, step.k_cache.to("cuda:1"), step.v_cache, step.kv_len)
