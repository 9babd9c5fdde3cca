"""The operators give what flashdec gives, and what PyTorch asks of operators."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from decode_step import (
    BATCH,
    CAPACITY,
    DIM,
    KV_HEADS,
    Q_HEADS,
    decode_args,
    make_step,
    ops,
    torch,
)

import flashdec

OPERATORS = torch.ops.flashdec
paged_or_not = pytest.mark.parametrize("paged", [False, True], ids=["rows", "pages"])


@paged_or_not
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=str)
def test_decode(device: str, paged: bool, dtype: Any) -> None:
    step = make_step(device, paged, dtype)
    given = {"kv_len": step.kv_len, "page_table": step.page_table}
    want, want_lse = flashdec.decode(step.q, step.k_cache, step.v_cache, return_lse=True, **given)
    got = ops.decode(step.q, step.k_cache, step.v_cache, **given)
    again, lse = ops.decode(step.q, step.k_cache, step.v_cache, return_lse=True, **given)
    workspace = ops.make_workspace(step.q, step.k_cache, step.v_cache, page_table=step.page_table)
    for _ in range(3):
        prepared = ops.decode(step.q, step.k_cache, step.v_cache, workspace=workspace, **given)
        assert torch.equal(prepared, want)
    assert torch.equal(got, want)
    assert torch.equal(again, want)
    assert torch.equal(lse, want_lse)
    assert (got[0] == 0).all()


def test_options_are_passed_on(device: str) -> None:
    step = make_step(device)
    k, v = (cache.transpose(1, 2).contiguous() for cache in (step.k_cache, step.v_cache))
    more = {"kv_len": step.kv_len, "layout": "bhsd", "scale": 0.5}
    want, lse = flashdec.decode(step.q, k, v, return_lse=True, base2=True, **more)
    got, got_lse = ops.decode(step.q, k, v, return_lse=True, base2=True, **more)
    assert torch.equal(got, want)
    assert torch.equal(got_lse, lse)
    alone = [
        ops.decode(step.q[i:i + 1], k[i:i + 1], v[i:i + 1], kv_len=step.kv_len[i:i + 1],
                   layout="bhsd", batch_invariant=True)
        for i in range(BATCH)
    ]  # fmt: skip
    whole = ops.decode(step.q, k, v, kv_len=step.kv_len, layout="bhsd", batch_invariant=True)
    assert torch.equal(torch.cat(alone), whole)


@pytest.mark.parametrize("tokens", [512, 4096])
def test_long_caches_take_workspace(device: str, tokens: int) -> None:
    """Scratch memory is not given to others before the work has begun."""
    q = torch.randn((1, 8, 64), device=device)
    k, v = torch.randn((2, 1, tokens, 2, 64), device=device)
    want = flashdec.decode(q, k, v)
    workspace = ops.make_workspace(q, k, v)
    for _ in range(50):
        got = ops.decode(q, k, v)
        noise = [torch.full((n,), 0x55, dtype=torch.uint8, device=device) for n in (10**3, 10**5)]
        assert torch.equal(got, want)
        assert torch.equal(ops.decode(q, k, v, workspace=workspace), want)
        del noise


@pytest.mark.cuda
def test_a_workspace_that_does_not_do_is_refused() -> None:
    q = torch.randn((1, 8, 64), device="cuda")
    k, v = torch.randn((2, 1, 65536, 2, 64), device="cuda")
    wide = torch.full((1 << 24,), 255, dtype=torch.uint8, device="cuda")
    for workspace, words in (
        (wide[:0], "the workspace has 0 bytes; this plan needs"),
        (wide[1:11], "the workspace has 0 bytes"),
        (wide[:1].expand(1 << 24), "must be contiguous"),
        (wide.cpu(), "workspace is on cpu and q on cuda:0"),
    ):
        with pytest.raises(RuntimeError, match=words):
            ops.decode(q, k, v, workspace=workspace)
    assert torch.equal(ops.decode(q, k, v, workspace=wide), flashdec.decode(q, k, v))


@pytest.mark.parametrize("first", ["round", "odd"])
def test_rows_at_any_address(device: str, first: str) -> None:
    """Whichever comes first."""
    step = make_step(device, dtype=torch.float16 if first == "odd" else torch.bfloat16)
    want = flashdec.decode(*decode_args(step)[:3], kv_len=step.kv_len)
    moved = []
    for tensor in (step.q, step.k_cache, step.v_cache):
        wide = torch.empty(tensor.numel() + 1, dtype=tensor.dtype, device=device)
        moved.append(wide[1:].view(tensor.shape).copy_(tensor))
    for turn in range(4):
        if (turn == 0) == (first == "round"):
            assert torch.equal(ops.decode(*decode_args(step)[:3], kv_len=step.kv_len), want)
        got = ops.decode(*moved, kv_len=step.kv_len)
        assert torch.allclose(got.float(), want.float(), rtol=2**-7, atol=2**-7)
        assert torch.equal(ops.decode(*decode_args(step)[:3], kv_len=step.kv_len), want)


@paged_or_not
def test_append(device: str, paged: bool) -> None:
    got, want = make_step(device, paged), make_step(device, paged)
    rotated = ops.append_rotary(
        *got.rows(), got.k_cache, got.v_cache, got.kv_len, page_table=got.page_table, advance=True
    )
    want_rotated = flashdec.append(
        want.k, want.v, want.k_cache, want.v_cache, want.kv_len, q=want.q, cos=want.cos,
        sin=want.sin, page_table=want.page_table, advance=True,
    )  # fmt: skip
    ops.append(got.k, got.v, got.k_cache, got.v_cache, got.kv_len, page_table=got.page_table)
    flashdec.append(
        want.k, want.v, want.k_cache, want.v_cache, want.kv_len, page_table=want.page_table
    )
    assert torch.equal(rotated, want_rotated)
    assert not torch.equal(rotated, got.q)
    for name in ("k_cache", "v_cache", "kv_len"):
        assert torch.equal(getattr(got, name), getattr(want, name)), name
    assert got.kv_len.tolist() == [1, 18, CAPACITY - 1]


def test_merge(device: str) -> None:
    step = make_step(device)
    parts = [
        ops.decode(step.q, step.k_cache[:, a:b], step.v_cache[:, a:b], return_lse=True)
        for a, b in ((0, 33), (33, CAPACITY))
    ]
    o, lse = (torch.stack(each) for each in zip(*parts, strict=True))
    got, got_lse = ops.merge(o, lse)
    want, want_lse = flashdec.merge(o, lse)
    assert torch.equal(got, want)
    assert torch.equal(got_lse, want_lse)
    whole = ops.decode(step.q, step.k_cache, step.v_cache)
    assert torch.allclose(got.float(), whole.float(), rtol=2**-6, atol=2**-6)


def calls(device: str, paged: bool) -> dict[str, tuple[Any, ...]]:
    step = make_step(device, paged)
    o = torch.randn((4, BATCH, Q_HEADS, DIM), device=device)
    workspace = ops.make_workspace(step.q, step.k_cache, step.v_cache, page_table=step.page_table)
    cache = (step.k_cache, step.v_cache, step.kv_len, step.page_table)
    return {
        "decode": decode_args(step),
        "decode_lse": (*decode_args(step), workspace),
        "append": (step.k, step.v, *cache),
        "append_rotary": (*step.rows(), *cache, None, None, False, True, step.kv_len.clone()),
        "merge": (o, torch.randn((4, BATCH, Q_HEADS), device=device)),
    }


@paged_or_not
@pytest.mark.parametrize("name", ["decode", "decode_lse", "append", "append_rotary", "merge"])
def test_opcheck(device: str, name: str, paged: bool) -> None:
    """Schemas tell what is written, fakes what is returned, and compiled calls do the same."""
    torch.library.opcheck(getattr(OPERATORS, name).default, calls(device, paged)[name])


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("decode", set()),
        ("decode_lse", set()),
        ("append", {"k_cache", "v_cache", "kv_len", "status"}),
        ("append_rotary", {"k_cache", "v_cache", "kv_len", "status"}),
        ("merge", set()),
    ],
)
def test_what_is_written_is_declared(name: str, written: set[str]) -> None:
    arguments = getattr(OPERATORS, name).default._schema.arguments
    marked = {each.name for each in arguments if each.alias_info and each.alias_info.is_write}
    assert marked == written


def test_the_shape_of_v_gives_that_of_o(device: str) -> None:
    step = make_step(device, dtype=torch.float32)
    v = torch.randn((BATCH, CAPACITY, KV_HEADS, 40), device=device)
    got = ops.decode(step.q, step.k_cache, v, kv_len=step.kv_len)
    assert torch.equal(got, flashdec.decode(step.q, step.k_cache, v, kv_len=step.kv_len))
    torch.library.opcheck(OPERATORS.decode.default, (step.q, step.k_cache, v, step.kv_len))


def test_threads_do_not_share_what_a_run_is_given(device: str) -> None:
    step = make_step(device)
    lengths = [step.kv_len, torch.full_like(step.kv_len, CAPACITY)]
    wanted = [ops.decode(step.q, step.k_cache, step.v_cache, kv_len=each) for each in lengths]
    same: list[bool] = []

    def run(which: int) -> None:
        for _ in range(200):
            got = ops.decode(step.q, step.k_cache, step.v_cache, kv_len=lengths[which])
            same.append(torch.equal(got, wanted[which]))

    threads = [threading.Thread(target=run, args=(i % 2,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(same) == 800
    assert all(same)


def test_gradients_are_refused(device: str) -> None:
    step = make_step(device)
    step.q.requires_grad_()
    with pytest.raises(RuntimeError, match=r"requires grad; flashdec has no backward pass"):
        ops.decode(step.q, step.k_cache, step.v_cache)
    with torch.no_grad():
        assert not ops.decode(step.q, step.k_cache, step.v_cache).requires_grad
    o = torch.randn((2, 1, 1, 8), device=device, requires_grad=True)
    with pytest.raises(RuntimeError, match="requires grad"):
        ops.append_rotary(
            *(each.detach() for each in step.rows()[:3]), step.cos.requires_grad_(), step.sin,
            step.k_cache, step.v_cache, step.kv_len,
        )  # fmt: skip
    with pytest.raises(RuntimeError, match="requires grad"):
        ops.merge(o, torch.zeros((2, 1, 1), device=device))


def test_refusals_say_why(device: str) -> None:
    step = make_step(device)
    with pytest.raises(RuntimeError, match="k has 80 tokens"):
        ops.decode(step.q, step.k_cache, step.v_cache[:, :40])
    with pytest.raises(RuntimeError, match="float64"):
        ops.decode(*(each.double() for each in (step.q, step.k_cache, step.v_cache)))
    with pytest.raises(RuntimeError, match="kv_len has elements of type int64"):
        ops.decode(step.q, step.k_cache, step.v_cache, kv_len=step.kv_len.long())
    with pytest.raises(flashdec.InvalidArgumentError, match="layout is 'x'"):
        ops.decode(step.q, step.k_cache, step.v_cache, layout="x")
    with pytest.raises(RuntimeError, match="v has 0 dimensions"):
        ops.decode(step.q, step.k_cache, torch.tensor(1.0, device=device))
    with pytest.raises(RuntimeError, match="k is None"):
        ops.decode(step.q, None, step.v_cache)


@pytest.mark.parametrize("name", ["k_cache", "kv_len"])
def test_a_meta_tensor_among_others_is_refused(device: str, name: str) -> None:
    """PyTorch would trace the call and return memory that nobody has written."""
    step = make_step(device)
    setattr(step, name, getattr(step, name).to("meta"))
    with pytest.raises(RuntimeError, match="is on meta and another on"):
        ops.decode(step.q, step.k_cache, step.v_cache, kv_len=step.kv_len)
    with pytest.raises(RuntimeError, match="is on meta and another on"):
        ops.append(step.k, step.v, step.k_cache, step.v_cache, step.kv_len)


def test_autograd_is_told_of_writes(device: str) -> None:
    step = make_step(device, dtype=torch.float32)
    weight = torch.ones_like(step.k_cache, requires_grad=True)
    total = (weight * step.k_cache).sum()
    ops.append(step.k, step.v, step.k_cache, step.v_cache, step.kv_len, advance=True)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        total.backward()
    assert step.kv_len._version > 0
    with torch.inference_mode():
        mine = make_step(device)
        ops.append(mine.k, mine.v, mine.k_cache, mine.v_cache, mine.kv_len)


def test_misaligned_rows_take_a_plan_of_their_own() -> None:
    """A first call with odd addresses does not leave a slower plan to the calls behind it."""
    q = torch.randn((1, 4, 64), dtype=torch.float16)
    k = torch.randn((1, 64, 2, 64), dtype=torch.float16)
    odd = torch.empty(k.numel() + 1, dtype=torch.float16)[1:].view(k.shape).copy_(k)
    want = flashdec.decode(q, k, k)
    assert torch.allclose(ops.decode(q, odd, odd).float(), want.float(), atol=1e-3)
    assert torch.equal(ops.decode(q, k, k), want)


def test_traced_calls_are_operators(device: str) -> None:
    step = make_step(device, dtype=torch.float32)
    traced = torch.jit.trace(
        lambda q: ops.decode(q, step.k_cache, step.v_cache), (step.q,), check_trace=False
    )
    q = torch.randn_like(step.q)
    assert torch.equal(traced(q), ops.decode(q, step.k_cache, step.v_cache))


def test_a_sign_beside_the_memory_is_kept() -> None:
    """PyTorch has views of conjugates that are negated when they are read."""
    step = make_step("cpu", dtype=torch.float32)
    negated = torch._neg_view(-step.k_cache)
    assert negated.is_neg()
    got = ops.decode(step.q, negated, step.v_cache, kv_len=step.kv_len)
    assert torch.equal(got, ops.decode(*decode_args(step)[:3], kv_len=step.kv_len))


def test_more_shapes_than_plans_are_kept(device: str) -> None:
    """Those that have been forgotten are made again."""
    k = torch.randn((1, 600, 1, 64), device=device)
    q = torch.randn((1, 1, 64), device=device)
    wanted = [ops.decode(q, k[:, :n], k[:, :n]) for n in range(1, 601)]
    for n in (1, 300, 600, 2):
        assert torch.equal(ops.decode(q, k[:, :n], k[:, :n]), wanted[n - 1])


def test_options_are_true_or_not_and_numbers_or_not() -> None:
    step = make_step("cpu")
    before = step.kv_len.clone()
    ops.append(step.k, step.v, step.k_cache, step.v_cache, step.kv_len, advance=1)
    assert torch.equal(step.kv_len, before + 1)
    for _ in range(100):  # Python makes calls of what it calls often its own way
        with pytest.raises(RuntimeError, match="scale"):
            ops.decode(*decode_args(step)[:3], scale="0.125")
    assert torch.equal(
        ops.decode(*decode_args(step)[:3], scale=-1), ops.decode(*decode_args(step)[:3], scale=-1.0)
    )


def test_inference_tensors_are_not_written_outside() -> None:
    with torch.inference_mode():
        step = make_step("cpu")
    before = step.k_cache.clone()
    call = (step.k_cache, step.v_cache, step.kv_len)
    with pytest.raises(RuntimeError, match="k_cache is an inference tensor"):
        ops.append(step.k, step.v, *call)
    with pytest.raises(RuntimeError, match="k_cache is an inference tensor"):
        ops.append_rotary(*step.rows(), *call)
    assert torch.equal(step.k_cache, before)
    with torch.inference_mode():
        ops.append(step.k, step.v, *call)
    assert not torch.equal(step.k_cache, before)


def test_what_is_no_tensor_is_refused_in_a_sentence() -> None:
    step = make_step("cpu")
    with pytest.raises(flashdec.InvalidArgumentError, match="kv_len is of type int; "):
        ops.decode(*decode_args(step)[:3], kv_len=50)
    with pytest.raises(flashdec.InvalidArgumentError, match="o is of type tuple; "):
        ops.merge((step.q, step.q), (step.q, step.q))
