"""Who sees a call of an operator, and what PyTorch would have said of its arguments."""

from __future__ import annotations

from typing import Any

import pytest
from decode_step import decode_args, make_step, ops, torch

import flashdec

OPERATORS = torch.ops.flashdec


VERBS = ("decode", "decode_lse", "append", "append_rotary", "merge")


def note_what_is_left(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return a list that gets the names of calls that went through the dispatcher."""
    from flashdec._abi_torch import make_method
    from flashdec.torch import direct

    left: list[str] = []
    for name in VERBS:
        packet = getattr(OPERATORS, name)
        dispatched = getattr(direct, name).__self__

        def note(*given: Any, _name: str = name, _call: Any = dispatched, **named: Any) -> Any:
            left.append(_name)
            return _call(*given, **named)

        method = make_method(name, note)
        monkeypatch.setattr(direct, name, method)
        for each in (packet, packet.default):
            monkeypatch.setattr(each, "_op", method)
    return left


@pytest.mark.parametrize("by", ["functions", "operators"])
def test_calls_go_round_the_dispatcher(
    device: str, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    """In eager mode; where anybody listens, PyTorch calls the operator."""
    from torch.overrides import TorchFunctionMode
    from torch.utils._python_dispatch import TorchDispatchMode

    class Listener(TorchDispatchMode):
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None):
            heard.append(func.name())
            return func(*args, **(kwargs or {}))

    class FunctionListener(TorchFunctionMode):
        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None):
            return func(*args, **(kwargs or {}))

    class Mine(torch.Tensor):
        pass

    heard: list[str] = []
    left = note_what_is_left(monkeypatch)
    step = make_step(device)
    workspace = ops.make_workspace(*decode_args(step)[:3])
    cache = step.k_cache, step.v_cache

    def by_functions(q: Any) -> None:
        o, lse = ops.decode(
            q, *cache, kv_len=step.kv_len, workspace=workspace, return_lse=True, base2=True
        )
        ops.decode(q, *cache)
        ops.append(step.k, step.v, *cache, step.kv_len)
        ops.append_rotary(q, *step.rows()[1:], *cache, step.kv_len)
        ops.merge(torch.stack([o, o]).as_subclass(type(q)), torch.stack([lse, lse]))

    def by_operators(q: Any) -> None:
        o, lse = OPERATORS.decode_lse(q, *cache, step.kv_len, workspace=workspace, base2=True)
        OPERATORS.decode.default(q, *cache)
        OPERATORS.append.default(step.k, step.v, *cache, kv_len=step.kv_len)
        OPERATORS.append_rotary(q, *step.rows()[1:], *cache, step.kv_len, None, None, None)
        OPERATORS.merge(torch.stack([o, o]).as_subclass(type(q)), torch.stack([lse, lse]))

    def left_of(q: Any) -> set[str]:
        left.clear()
        {"functions": by_functions, "operators": by_operators}[by](q)
        return set(left)

    everything = set(VERBS)
    assert left_of(step.q) == set()
    with Listener():
        assert left_of(step.q) == everything
    with FunctionListener():
        assert left_of(step.q) == everything
    assert {f"flashdec::{verb}" for verb in VERBS} <= set(heard)
    assert left_of(step.q.as_subclass(Mine)) == everything - {"append"}  # it has no queries


def test_a_profiler_sees_operators(device: str) -> None:
    step = make_step(device)
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        ops.decode(*decode_args(step)[:3])
        OPERATORS.append(step.k, step.v, step.k_cache, step.v_cache, step.kv_len)
    seen = {each.key for each in profile.key_averages()}
    assert {"flashdec::decode", "flashdec::append"} <= seen


def test_operators_take_keywords_and_defaults(device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    left = note_what_is_left(monkeypatch)
    step = make_step(device)
    names = ("q", "k", "v", "kv_len")
    given = decode_args(step)[:4]
    want = OPERATORS.decode(*given, None, None, 0.25, False, True)
    more = {"batch_invariant": True, "scale": 0.25}
    for count in range(5):
        named = dict(zip(names[count:], given[count:], strict=True))
        assert torch.equal(OPERATORS.decode(*given[:count], **more, **named), want)
    assert left == []
    computed = {"".join(["sca", "le"]): 0.25}  # a name of its own, not the one Python keeps
    got = OPERATORS.decode(*given, batch_invariant=True, **computed)
    assert torch.equal(got, want)


def test_operators_refuse_as_pytorch_does(device: str) -> None:
    step = make_step(device)
    q, k, v = decode_args(step)[:3]
    for given, named, words in (
        ((q, k), {}, "missing value for argument 'v'"),
        ((q, k, v), {"k": k}, "both as positional and keyword"),
        ((q, k, v), {"window": 4}, "Unknown keyword argument 'window'"),
        ((q, k, v, *[None] * 7), {}, "expected at most 9 argument"),
        ((q,) * 17, {}, "expected at most 9 argument"),
    ):
        with pytest.raises(RuntimeError, match=words):
            OPERATORS.decode(*given, **named)
    with pytest.raises(RuntimeError, match="Expected a value of type 'bool' for argument 'bhsd'"):
        OPERATORS.decode(q, k, v, bhsd="bshd")
    with pytest.raises(flashdec.InvalidArgumentError, match="kv_len is of type int"):
        ops.decode(q, k, v, kv_len=4)
    with pytest.raises(flashdec.InvalidArgumentError, match="page_table is of type list"):
        OPERATORS.decode(q, k, v, page_table=[0])


def test_transforms_see_operators(device: str) -> None:
    step = make_step(device, dtype=torch.float32)
    q, k, v, kv_len = decode_args(step)[:4]
    want = ops.decode(q, k, v, kv_len=kv_len)
    many = torch.vmap(lambda each: OPERATORS.decode(each, k, v, kv_len))(torch.stack([q, q * 2]))
    assert torch.equal(many[0], want)
    made = torch.func.functionalize(lambda *given: OPERATORS.decode(*given))(q, k, v, kv_len)
    assert torch.equal(made, want)
