"""Kernels overlap with those before them in the stream: each must wait for what it reads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

import flashdec
from kit.backends import cuda_is_usable

pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(not cuda_is_usable(), reason="no GPU that the library and torch can use"),
]

BATCH, Q_HEADS, KV_HEADS, DIM, CAPACITY, PAGE = 3, 16, 4, 128, 3000, 16
STEPS = 40


@dataclass(frozen=True)
class Way:
    """A way through the kernels."""

    lengths: tuple[int, ...] | None = None
    paged: bool = False
    prepared: bool = True
    batch_invariant: bool = False
    allow_sm90a: bool = True


UNEQUAL = (2900, 17, 1000)
WAYS = {
    "one length": Way(),
    "one length, two launches": Way(prepared=False),
    "equal lengths": Way((2900, 2900, 2900)),
    "equal lengths, pages": Way((2900, 2900, 2900), paged=True),
    "unequal lengths": Way(UNEQUAL),
    "unequal lengths, pages, two launches": Way(UNEQUAL, paged=True, prepared=False),
    "fixed splits": Way(UNEQUAL, batch_invariant=True),
    "cp.async": Way(UNEQUAL, allow_sm90a=False),
}


class Chain:
    """Decode steps of which each takes the output of the one before as its queries."""

    def __init__(self, way: Way) -> None:
        import torch

        torch.manual_seed(5)
        tokens = -(-CAPACITY // PAGE) * PAGE
        shape: tuple[int, ...] = (BATCH, tokens, KV_HEADS, DIM)
        pages = BATCH * tokens // PAGE
        if way.paged:
            shape = (pages, PAGE, KV_HEADS, DIM)
        k, v = (torch.randn(shape, device="cuda").bfloat16() for _ in range(2))
        self.first = torch.randn(BATCH, Q_HEADS, DIM, device="cuda").bfloat16()
        self.kv_len = (
            None
            if way.lengths is None
            else torch.tensor(way.lengths, dtype=torch.int32, device="cuda")
        )
        table = torch.randperm(pages, device="cuda").int().view(BATCH, -1) if way.paged else None
        self.rows = [torch.empty_like(self.first) for _ in range(2)]
        desc = flashdec.Descriptor(
            batch=BATCH, q_heads=Q_HEADS, kv_heads=KV_HEADS, max_kv_len=tokens, head_dim=DIM,
            page_size=PAGE if way.paged else 0, num_pages=pages if way.paged else 0,
        )  # fmt: skip
        self.plan = flashdec.Plan.select(
            desc,
            flashdec.PlanPreference(
                batch_invariant=way.batch_invariant, allow_sm90a=way.allow_sm90a
            ),
        )
        self.workspace = flashdec.Workspace.allocate(self.plan, k, prepared=way.prepared)
        self.args = [
            flashdec.Args(
                q=self.rows[i], k=k, v=v, o=self.rows[1 - i], kv_len=self.kv_len, page_table=table
            )
            for i in range(2)
        ]

    def step(self, i: int, torch: Any) -> None:
        """Run one step; the kernels of torch between them change what the next one reads."""
        self.plan.run(self.args[i % 2], self.workspace, stream=torch.cuda.current_stream())
        self.rows[1 - i % 2].mul_(8.0)
        if self.kv_len is not None and i % 3 == 0:
            self.kv_len.sub_(1)

    def steps(self, wait: bool) -> Any:
        """Return the rows after all steps, from the same start."""
        import torch

        self.rows[0].copy_(self.first)
        lengths = None if self.kv_len is None else self.kv_len.clone()
        for i in range(STEPS):
            self.step(i, torch)
            if wait:
                torch.cuda.synchronize()
        torch.cuda.synchronize()
        if lengths is not None:
            self.kv_len.copy_(lengths)
        return self.rows[STEPS % 2].clone()


@pytest.mark.parametrize("name", WAYS)
def test_each_step_sees_the_one_before(name: str) -> None:
    import torch

    chain = Chain(WAYS[name])
    want = chain.steps(wait=True)
    assert bool(want.isfinite().all())
    for _ in range(5):
        assert torch.equal(chain.steps(wait=False), want)


@pytest.mark.parametrize("name", WAYS)
def test_each_step_of_a_graph_sees_the_one_before(name: str) -> None:
    """Without kernels of others in between, too: a step's queries are written by a step."""
    import torch

    chain = Chain(WAYS[name])

    def run(stream: Any) -> None:
        for i in range(STEPS):
            chain.plan.run(chain.args[i % 2], chain.workspace, stream=stream)

    chain.rows[0].copy_(chain.first)
    for i in range(STEPS):
        chain.plan.run(chain.args[i % 2], chain.workspace)
        torch.cuda.synchronize()
    want = chain.rows[0].clone()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        run(torch.cuda.current_stream())
    for _ in range(5):
        chain.rows[0].copy_(chain.first)
        graph.replay()
        torch.cuda.synchronize()
        assert torch.equal(chain.rows[0], want)


@pytest.mark.parametrize("length", [1, 17, 512, 1003, 2900])
@pytest.mark.parametrize("paged", [False, True])
def test_equal_lengths_have_the_bits_of_one_length(length: int, paged: bool) -> None:
    """Where the length is known, and where the tokens are, shows in no bit."""
    import torch

    torch.manual_seed(6)
    tokens = -(-CAPACITY // PAGE) * PAGE
    q = torch.randn(BATCH, Q_HEADS, DIM, device="cuda").bfloat16()
    k, v = (torch.randn(BATCH, tokens, KV_HEADS, DIM, device="cuda").bfloat16() for _ in range(2))
    want = flashdec.decode(q, k[:, :length], v[:, :length])
    lengths = torch.full((BATCH,), length, dtype=torch.int32, device="cuda")
    table = None
    if paged:
        pages = BATCH * tokens // PAGE
        order = torch.randperm(pages, device="cuda")
        table = order.argsort().int().view(BATCH, -1)
        k, v = (x.view(pages, PAGE, KV_HEADS, DIM)[order].contiguous() for x in (k, v))
    got = flashdec.decode(q, k, v, kv_len=lengths, page_table=table)
    assert torch.equal(got, want)
