"""A cache of a model's layers does what its tensors, taken one by one, would."""

from __future__ import annotations

from typing import Any

import pytest
from decode_step import ops, torch

import flashdec

LAYERS, BATCH, CAPACITY, Q_HEADS, KV_HEADS, DIM, PAGE = 2, 3, 70, 4, 2, 64, 16
kinds = pytest.mark.parametrize(
    ("page_size", "layout"), [(0, "bshd"), (0, "bhsd"), (PAGE, "bshd"), (PAGE, "bhsd")]
)
pages_or_not = pytest.mark.parametrize("page_size", [0, PAGE])


def make(device: str, page_size: int = PAGE, **more: Any) -> Any:
    shape = {
        "layers": LAYERS, "batch": BATCH, "capacity": CAPACITY, "q_heads": Q_HEADS,
        "kv_heads": KV_HEADS, "head_dim": DIM, "dtype": torch.float32, "device": device,
    }  # fmt: skip
    return ops.KVCache(**{**shape, "page_size": page_size, **more})


class Model:
    """Rows that depend on the sequence's own past alone, and what attention over them must be."""

    def __init__(self, device: str) -> None:
        self.device = device
        self.past: list[list[tuple[Any, Any]]] = [[] for _ in range(BATCH)]
        self.draw = torch.Generator().manual_seed(3)

    def rows(self, tokens: int, heads: int) -> Any:
        shape = (BATCH, tokens, heads, DIM) if tokens > 1 else (BATCH, heads, DIM)
        return torch.randn(shape, generator=self.draw).to(self.device)

    def step(self, cache: Any, counts: list[int] | None = None) -> None:
        """Append so many tokens (default: 1 each) to both layers, and check attention over them."""
        tokens = max(counts or [1])
        cache.extend(1 if counts is None else counts)
        k, v = self.rows(tokens, KV_HEADS), self.rows(tokens, KV_HEADS)
        for layer in range(LAYERS):
            cache.append(layer, k + layer, v + layer)
        for b in range(BATCH):
            for t in range(1 if counts is None else counts[b]):
                at = (b, t) if tokens > 1 else b
                self.past[b].append((k[at], v[at]))
        self.check(cache)

    def check(self, cache: Any) -> None:
        q = self.rows(1, Q_HEADS)
        assert cache.kv_len.tolist() == [len(each) for each in self.past]
        for layer in range(LAYERS):
            o = cache.decode(layer, q)
            for b, past in enumerate(self.past):
                if not past:
                    assert (o[b] == 0).all()
                    continue
                k, v = (torch.stack(each)[None] + layer for each in zip(*past, strict=True))
                want = flashdec.decode(q[b : b + 1], k, v)[0]
                assert torch.allclose(o[b], want, rtol=1e-5, atol=1e-5), (layer, b)


@kinds
def test_steps(device: str, page_size: int, layout: str) -> None:
    model, cache = Model(device), make(device, page_size, layout=layout)
    for _ in range(PAGE + 2):
        model.step(cache)
    model.step(cache, [3, 0, 40])
    model.step(cache)


@pages_or_not
def test_sequences_are_dropped_and_begin_anew(device: str, page_size: int) -> None:
    model, cache = Model(device), make(device, page_size)
    model.step(cache, [40, 20, 5])
    cache.drop([0, 2])
    model.past[0], model.past[2] = [], []
    model.check(cache)
    model.step(cache, [7, 1, 0])
    model.step(cache)


@pages_or_not
@pytest.mark.parametrize("sources", [[2, 0, 1], [1, 1, 0], [0, 0, 0], [2, 2, 1], [0, 1, 2]])
def test_reorder(device: str, page_size: int, sources: list[int]) -> None:
    model, cache = Model(device), make(device, page_size)
    model.step(cache, [33, 16, 5])
    for _ in range(2):
        cache.reorder(sources)
        model.past = [list(model.past[source]) for source in sources]
        model.check(cache)
        for _ in range(14):
            model.step(cache)


def test_pages_are_shared_and_come_back() -> None:
    model, cache = Model("cpu"), make("cpu", num_pages=9)
    model.step(cache, [33, 16, 5])
    assert cache.free_pages == 9 - 3 - 1 - 1
    cache.reorder([0, 0, 0])
    model.past = [list(model.past[0]) for _ in range(3)]
    assert cache.free_pages == 9 - 2 - 3  # two full ones that all share, and one each
    model.step(cache)
    cache.drop([0, 2])
    assert cache.free_pages == 9 - 3
    cache.drop(1)
    assert cache.free_pages == 9


def test_a_refused_reordering_gives_nothing_back() -> None:
    """Sequence 1 has shared pages alone, so its going would free none."""
    model, cache = Model("cpu"), make("cpu", num_pages=4)
    model.step(cache, [32, 0, 16])
    cache.reorder([0, 0, 2])
    model.past[1] = list(model.past[0])
    model.step(cache, [1, 0, 0])
    assert cache.free_pages == 0
    with pytest.raises(flashdec.InvalidArgumentError, match="1 more pages are needed and 0 of 4"):
        cache.reorder([0, 0, 2])
    model.check(cache)
    cache.drop([0])
    assert cache.free_pages == 1
    model.past[0] = []
    model.check(cache)


@pages_or_not
@pytest.mark.parametrize("written", [0, 1, 2])
def test_reordered_in_the_midst_of_a_step(device: str, page_size: int, written: int) -> None:
    """Nobody shares what a layer has yet to write, however many have written."""
    model, cache = Model(device), make(device, page_size)
    model.step(cache, [PAGE - 1, 3, 0])
    cache.extend()
    k, v = model.rows(1, KV_HEADS), model.rows(1, KV_HEADS)
    for layer in range(written):
        cache.append(layer, k + layer, v + layer)
    cache.reorder([0, 0, 2])
    past = [model.past[0], model.past[0], model.past[2]]
    for layer in range(written, LAYERS):
        cache.append(layer, k + layer, v + layer)
    q = model.rows(1, Q_HEADS)
    for layer in range(LAYERS):
        o = cache.decode(layer, q)
        rows = [0, 0, 2] if layer < written else [0, 1, 2]
        for b in range(BATCH):
            new = (k[rows[b]], v[rows[b]])
            keys, values = (torch.stack(x)[None] + layer for x in zip(*past[b], new, strict=True))
            want = flashdec.decode(q[b : b + 1], keys, values)[0]
            assert torch.allclose(o[b], want, rtol=1e-5, atol=1e-5), (layer, b)


def test_made_in_inference_mode_and_used_outside() -> None:
    with torch.inference_mode():
        cache = make("cpu")
    model = Model("cpu")
    for _ in range(3):
        model.step(cache)


def test_the_table_names_live_pages_alone() -> None:
    model, cache = Model("cpu"), make("cpu")
    model.step(cache, [70, 16, 5])
    cache.reorder([1, 2, 2])
    assert (cache.page_table >= 0).sum(1).tolist() == [1, 1, 1]
    cache.drop([0])
    assert (cache.page_table >= 0).sum(1).tolist() == [0, 1, 1]


def test_memory_is_where_it_was(device: str) -> None:
    model, cache = Model(device), make(device)
    tensors = [*cache.k, *cache.v, cache.kv_len, cache.start, cache.page_table, cache.workspace]
    before = [each.data_ptr() for each in tensors]
    model.step(cache, [33, 16, 5])
    cache.reorder([0, 0, 1])
    cache.drop([1])
    after = [*cache.k, *cache.v, cache.kv_len, cache.start, cache.page_table, cache.workspace]
    assert [each.data_ptr() for each in after] == before


def test_rotary(device: str) -> None:
    cache, by_hand = make(device), make(device)
    model = Model(device)
    cos, sin = model.rows(1, 1).new_ones((CAPACITY, DIM // 2)) * 0.6, 0.8
    sin = torch.full_like(cos, sin)
    q, k, v = model.rows(1, Q_HEADS), model.rows(1, KV_HEADS), model.rows(1, KV_HEADS)
    cache.extend()
    by_hand.extend()
    got = cache.append_rotary(1, q, k, v, cos, sin)
    want = ops.append_rotary(
        q, k, v, cos, sin, by_hand.k[1], by_hand.v[1], by_hand.start, page_table=by_hand.page_table
    )
    assert torch.equal(got, want)
    assert torch.equal(cache.k[1], by_hand.k[1])
    o, lse = cache.decode(1, got, return_lse=True, base2=True)
    assert o.shape == q.shape
    assert lse.shape == (BATCH, Q_HEADS)


@kinds
@pytest.mark.parametrize("turns", [False, True])
@pytest.mark.parametrize("compiled", [False, True])
def test_attend_is_append_and_decode(
    device: str, page_size: int, layout: str, turns: bool, compiled: bool
) -> None:
    torch._dynamo.reset()
    got, want = make(device, page_size, layout=layout), make(device, page_size, layout=layout)
    model = Model(device)
    angles = torch.linspace(0, 9, CAPACITY * DIM // 2).view(CAPACITY, -1).to(device)
    tables = (angles.cos(), angles.sin()) if turns else ()

    def attend(q: Any, k: Any, v: Any) -> Any:
        return [got.attend(layer, q + layer, k, v, *tables) for layer in range(LAYERS)]

    call = torch.compile(attend, backend="aot_eager", fullgraph=True) if compiled else attend
    for _ in range(3):
        got.extend()
        want.extend()
        q, k, v = model.rows(1, Q_HEADS), model.rows(1, KV_HEADS), model.rows(1, KV_HEADS)
        before = q.clone()
        for layer, o in enumerate(call(q, k, v)):
            turned = q + layer
            if turns:
                turned = want.append_rotary(layer, turned, k, v, *tables)
            else:
                want.append(layer, k, v)
            assert torch.equal(o, want.decode(layer, turned))
        assert torch.equal(q, before)
    assert all(torch.equal(*pair) for pair in zip(got.k, want.k, strict=True))


def test_attend_refuses_what_append_does() -> None:
    cache, model = make("cpu"), Model("cpu")
    q, k = model.rows(1, Q_HEADS), model.rows(1, KV_HEADS)
    with pytest.raises(flashdec.InvalidArgumentError, match="no step has begun"):
        cache.attend(0, q, k, k)
    cache.extend()
    with pytest.raises(RuntimeError, match="v has the shape"):
        cache.attend(0, q, k, k[:, :1])
    cache.attend(0, q, k, k)


def test_refusals_change_nothing() -> None:
    model, cache = Model("cpu"), make("cpu", num_pages=4)
    model.step(cache, [33, 16, 0])
    reserved, free = list(cache.reserved), cache.free_pages
    for call, words in (
        (lambda: cache.extend([38, 0, 0]), "sequence 0 would have 71 tokens; the capacity is 70"),
        (lambda: cache.extend([0, 1, 0]), "1 more pages are needed and 0 of 4 are free"),
        (lambda: cache.reorder([0, 0, 1]), "1 more pages are needed and 0 of 4 are free"),
        (lambda: cache.reorder([0, 1]), "sources has 2 numbers; it must have 3"),
        (lambda: cache.reorder([0, 1, 3]), "sequence 3 is not there; they are numbered 0 to 2"),
        (lambda: cache.drop([0, -1]), "sequence -1 is not there"),
        (lambda: cache.reserve([1, 1]), r"tokens is \[1, 1\]; it must have one number"),
        (lambda: cache.reserve(-1), "of 0 or more"),
        (lambda: cache.drop([0.5]), "0.5 is no whole number"),
        (lambda: cache.reorder([0, 1.0, 2]), "1.0 is no whole number"),
        (lambda: cache.extend([1.5, 0, 0]), "1.5 is no whole number"),
    ):
        with pytest.raises(flashdec.InvalidArgumentError, match=words):
            call()
        assert (cache.reserved, cache.free_pages) == (reserved, free)
    model.check(cache)
    cache.advance(20)
    with pytest.raises(flashdec.InvalidArgumentError, match="has 53 tokens and room for 33"):
        cache.reorder([0, 1, 2])


@pytest.mark.parametrize("name", ["layers", "head_dim_v"])
def test_sizes_are_at_least_one(name: str) -> None:
    with pytest.raises(flashdec.InvalidArgumentError, match=f"{name} is 0; it must be 1 or more"):
        make("cpu", **{name: 0})


def test_steps_are_kept_in_order() -> None:
    cache, model = make("cpu"), Model("cpu")
    one, five = model.rows(1, KV_HEADS), model.rows(5, KV_HEADS)

    def refused(words: str, layer: int, k: Any) -> None:
        before = [each.clone() for each in cache.k]
        with pytest.raises(flashdec.InvalidArgumentError, match=words):
            cache.append(layer, k, k)
        assert all(torch.equal(*pair) for pair in zip(cache.k, before, strict=True))

    refused("no step has begun; extend begins one", 0, one)
    cache.extend(5)
    refused("k has 1 tokens and the step 5, as extend was told", 0, one)
    refused("layer 2 is not there; they are numbered 0 to 1", 2, five)
    refused("layer -1 is not there", -1, five)
    cache.append(0, five, five)
    refused("layer 0 has written the rows of this step; extend begins the next", 0, five)
    cache.append(1, five, five)
    refused("layer 1 has written", 1, five)
    with pytest.raises(flashdec.InvalidArgumentError, match="layer 2 is not there"):
        cache.decode(2, model.rows(1, Q_HEADS))
    assert repr(cache) == "<KVCache of 2 layers, 3 sequences up to 70 tokens, cpu, 12 pages free>"


def test_lengths_of_the_device(device: str) -> None:
    cache, model = make(device), Model(device)
    counts = torch.tensor([3, 0, 5], dtype=torch.int32, device=device)
    cache.reserve(5)
    cache.advance(counts)
    k = model.rows(5, KV_HEADS)
    for layer in range(LAYERS):
        cache.append(layer, k, k)
    assert cache.kv_len.tolist() == [3, 0, 5]
    page = cache.page_table[0, 0]
    assert torch.equal(cache.k[0][page, :3], k[0, :3])
    assert not cache.k[0][page, 3:].any()


def test_a_dtype_may_be_a_name() -> None:
    assert make("cpu", dtype="bfloat16").k[0].dtype == torch.bfloat16


def test_counts_from_a_generator() -> None:
    cache = make("cpu")
    cache.extend(count for count in (3, 0, 20))
    assert cache.kv_len.tolist() == cache.reserved == [3, 0, 20]


def test_what_was_not_reserved_is_nan_and_written_nowhere(device: str) -> None:
    model, cache = Model(device), make(device)
    cache.advance()  # without reserve
    before = [each.clone() for each in cache.k]
    cache.append(0, model.rows(1, KV_HEADS), model.rows(1, KV_HEADS))
    assert torch.equal(cache.k[0], before[0])
    assert torch.isnan(cache.decode(0, model.rows(1, Q_HEADS))).all()


@pages_or_not
@pytest.mark.parametrize("backend", ["aot_eager", "inductor"])
def test_compiled_as_one_graph(device: str, page_size: int, backend: str) -> None:
    torch._dynamo.reset()

    def attend(cache: Any, q: Any, k: Any, v: Any) -> Any:
        cache.advance()
        for layer in range(LAYERS):
            cache.append(layer, k, v)
            q = cache.decode(layer, q) + 1
        return q

    compiled = torch.compile(attend, fullgraph=True, backend=backend)
    got, want = make(device, page_size), make(device, page_size)
    model = Model(device)
    with torch.no_grad():
        for _ in range(PAGE + 1):
            q, k, v = model.rows(1, Q_HEADS), model.rows(1, KV_HEADS), model.rows(1, KV_HEADS)
            for cache in (got, want):
                cache.reserve()
            assert torch.equal(compiled(got, q, k, v), attend(want, q, k, v))
    assert torch.equal(got.kv_len, want.kv_len)


@pytest.mark.cuda
@pages_or_not
def test_a_graph_is_replayed_while_the_cache_grows(page_size: int) -> None:
    cache, want = make("cuda", page_size), make("cuda", page_size)
    model = Model("cuda")
    q, k, v = model.rows(1, Q_HEADS), model.rows(1, KV_HEADS), model.rows(1, KV_HEADS)

    def attend(cache: Any) -> Any:
        cache.advance()
        for layer in range(LAYERS):
            cache.append(layer, k, v)
            o = cache.decode(layer, q)
        return o

    for each in (cache, want):
        each.reserve()
        attend(each)  # what is lazy happens here
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        o = attend(cache)
    for turn in range(2 * PAGE):
        k.add_(0.01)
        v.add_(0.01 * turn)
        cache.reserve()
        want.reserve()
        graph.replay()
        assert torch.equal(o, attend(want))
    assert cache.kv_len.tolist() == [2 * PAGE + 1] * BATCH
