"""Torch tensors that have no memory, no plain layout, another device, or record gradients."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scene import PROBLEM, check_sentence

import flashdec

torch = pytest.importorskip("torch")

SHAPE = (2, 4, 16)


def make_plan() -> flashdec.Plan:
    preference = flashdec.PlanPreference(prefer_backend="cpu")
    return flashdec.Plan.select(flashdec.Descriptor(**PROBLEM), preference)


def make_args(**changes: Any) -> flashdec.Args:
    arrays = {
        "q": torch.ones(SHAPE),
        "k": torch.ones(2, 600, 2, 16),
        "v": torch.ones(2, 600, 2, 24),
        "o": torch.full((2, 4, 24), 7.0),
    }
    return flashdec.Args(**{**arrays, **changes})


def fake_tensor() -> Any:
    with torch._subclasses.FakeTensorMode():
        return torch.empty(SHAPE)


STRANGE = {
    "meta": lambda: torch.empty(SHAPE, device="meta"),
    "fake": fake_tensor,
    "sparse": lambda: torch.ones(SHAPE).to_sparse(),
    "zero": lambda: torch._efficientzerotensor(SHAPE),
    "negated": lambda: torch._neg_view(torch.ones(SHAPE)),
    "complex": lambda: torch.ones(SHAPE, dtype=torch.complex64),
    "float64": lambda: torch.ones(SHAPE, dtype=torch.float64),
    "strided rows": lambda: torch.ones(2, 4, 32)[..., ::2],
}


def test_plain_tensors_are_accepted() -> None:
    plan, args = make_plan(), make_args()
    plan.run(args, flashdec.Workspace.allocate(plan, args.q))
    assert torch.allclose(args.o, torch.ones(()))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", STRANGE)
def test_strange_tensor_is_refused(kind: str) -> None:
    """When it is assigned or when it is used; nothing is written and no error is left behind."""
    plan, args, strange = make_plan(), make_args(), STRANGE[kind]()
    workspace = flashdec.Workspace.allocate(plan)

    def use() -> None:
        args.q = strange
        plan.run(args, workspace)

    with pytest.raises(flashdec.InvalidArgumentError) as caught:
        use()
    check_sentence(str(caught.value), "q ")
    assert np.all(args.o.numpy() == 7)
    args.q = torch.ones(SHAPE)
    plan.run(args, workspace)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", [kind for kind in STRANGE if kind != "strided rows"])
def test_decode_refuses_a_strange_tensor(kind: str) -> None:
    k, v = torch.ones(2, 600, 2, 16), torch.ones(2, 600, 2, 24)
    with pytest.raises(flashdec.InvalidArgumentError) as caught:
        flashdec.decode(STRANGE[kind](), k, v)
    check_sentence(str(caught.value), "q ")


def test_tensor_that_lost_its_memory_is_refused() -> None:
    plan, args = make_plan(), make_args()
    args.q.untyped_storage().resize_(0)
    support = plan.can_implement(args)
    assert not support
    check_sentence(support.reason, "q has no memory")


@pytest.mark.parametrize("name", list("qkvo"))
def test_requires_grad_is_refused(name: str) -> None:
    tensor = getattr(make_args(), name).clone().requires_grad_()
    with pytest.raises(flashdec.InvalidArgumentError) as caught:
        make_args(**{name: tensor})
    check_sentence(str(caught.value), f"{name} requires grad", f"{name}.detach()")
    assert make_plan().can_implement(make_args(**{name: tensor.detach()}))


def test_decode_refuses_requires_grad() -> None:
    k = torch.ones(2, 600, 2, 16)
    with pytest.raises(flashdec.InvalidArgumentError, match="q requires grad"):
        flashdec.decode(torch.ones(SHAPE, requires_grad=True), k, k)


def test_resized_tensor_is_read_again() -> None:
    """Args reads torch tensors at every run: one that has changed meanwhile is checked anew."""
    plan, args = make_plan(), make_args()
    assert plan.can_implement(args)
    args.q.resize_(2, 4, 8)
    support = plan.can_implement(args)
    assert not support
    check_sentence(support.reason, "q has 8 elements along axis 2", 16)
