"""The operators under ``torch.compile`` and in CUDA graphs."""

from __future__ import annotations

from typing import Any

import pytest
from decode_step import Step, make_step, ops, torch


def layer(step: Step) -> Any:
    """A decode step of one layer, with work of PyTorch's before and behind."""
    q = ops.append_rotary(
        step.q * 2, step.k, step.v, step.cos, step.sin, step.k_cache, step.v_cache, step.kv_len,
        page_table=step.page_table, advance=True,
    )  # fmt: skip
    o, lse = ops.decode(
        q, step.k_cache, step.v_cache, kv_len=step.kv_len, page_table=step.page_table,
        return_lse=True,
    )  # fmt: skip
    merged, _ = ops.merge(torch.stack([o, o]), torch.stack([lse, lse]))
    return merged + 1


def compare(device: str, paged: bool, compiled: Any) -> None:
    """Two steps: the second is longer by a token."""
    got, want = make_step(device, paged), make_step(device, paged)
    for _ in range(2):
        for name in ("q", "k", "v"):
            getattr(got, name).mul_(0.5)
            getattr(want, name).mul_(0.5)
        assert torch.equal(compiled(got), layer(want))
    for name in ("k_cache", "v_cache", "kv_len"):
        assert torch.equal(getattr(got, name), getattr(want, name)), name


@pytest.mark.parametrize("paged", [False, True], ids=["rows", "pages"])
@pytest.mark.parametrize("backend", ["aot_eager", "inductor"])
def test_compiled_as_one_graph(device: str, backend: str, paged: bool) -> None:
    torch._dynamo.reset()
    with torch.no_grad():
        compare(device, paged, torch.compile(layer, fullgraph=True, backend=backend))


@pytest.mark.cuda
@pytest.mark.parametrize("paged", [False, True], ids=["rows", "pages"])
def test_reduce_overhead(paged: bool) -> None:
    """Inductor's CUDA graphs, whose replays see lengths that have grown."""
    torch._dynamo.reset()
    compiled = torch.compile(layer, fullgraph=True, mode="reduce-overhead")
    got, want = make_step("cuda", paged), make_step("cuda", paged)
    with torch.no_grad():
        for _ in range(2):
            torch.compiler.cudagraph_mark_step_begin()
            assert torch.equal(compiled(got).clone(), layer(want))
        assert torch.equal(got.kv_len, want.kv_len)


@pytest.mark.cuda
@pytest.mark.parametrize("paged", [False, True], ids=["rows", "pages"])
def test_a_captured_graph_sees_new_contents(paged: bool) -> None:
    step, want = make_step("cuda", paged), make_step("cuda", paged)
    lengths = step.kv_len.clone()
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        layer(step)  # what is lazy happens here
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        result = layer(step)
    for name in ("k_cache", "v_cache"):
        getattr(step, name).copy_(getattr(want, name))
    for start in (0, 1):
        step.kv_len.copy_(lengths + start)
        want.kv_len.copy_(lengths + start)
        graph.replay()
        assert torch.equal(result, layer(want))


@pytest.mark.cuda
def test_the_current_stream_is_taken() -> None:
    """Work on it waits for what is there, here a kernel that writes q late."""
    step, want = make_step("cuda"), make_step("cuda")
    want.q.fill_(0.5)
    o = ops.decode(want.q, want.k_cache, want.v_cache, kv_len=want.kv_len)
    torch.cuda.synchronize()
    side = torch.cuda.Stream()
    with torch.cuda.stream(side):
        torch.cuda._sleep(20_000_000)
        step.q.fill_(0.5)
        got = ops.decode(step.q, step.k_cache, step.v_cache, kv_len=step.kv_len)
    side.synchronize()
    assert torch.equal(got, o)


@pytest.mark.parametrize("backend", ["aot_eager", "inductor"])
def test_decode_alone(device: str, backend: str) -> None:
    torch._dynamo.reset()
    step = make_step(device)
    compiled = torch.compile(ops.decode, fullgraph=True, backend=backend)
    with torch.no_grad():
        for batch in (3, 2):
            less = [each[:batch] for each in (step.q, step.k_cache, step.v_cache, step.kv_len)]
            got = compiled(*less[:3], kv_len=less[3])
            assert torch.equal(got, ops.decode(*less[:3], kv_len=less[3]))


def test_gradients_are_refused_while_tracing(device: str) -> None:
    torch._dynamo.reset()
    step = make_step(device)
    step.q.requires_grad_()
    with pytest.raises(Exception, match="requires grad"):
        torch.compile(ops.decode, fullgraph=True, backend="aot_eager")(
            step.q, step.k_cache, step.v_cache
        )
