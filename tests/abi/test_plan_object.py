"""Plans and values are immutable, comparable and shared between threads."""

from __future__ import annotations

import copy
import dataclasses
import threading
from typing import Any

import numpy as np
import pytest
from objects import ON_CPU, make_args, select
from scene import check_sentence

import flashdec

PROBLEM: dict[str, Any] = {
    "batch": 2, "q_heads": 4, "kv_heads": 2, "max_kv_len": 64, "head_dim": 64
}  # fmt: skip


def test_plan_is_made_by_select_only() -> None:
    with pytest.raises(TypeError, match=r"Plan\.select"):
        flashdec.Plan()


@pytest.mark.parametrize("name", ["backend", "sku", "workspace_size", "_plan", "anything"])
def test_plan_is_immutable(name: str) -> None:
    plan = select()
    before = bytes(plan)
    with pytest.raises(AttributeError, match="immutable"):
        setattr(plan, name, 0)
    with pytest.raises(AttributeError, match="immutable"):
        delattr(plan, name)
    assert bytes(plan) == before


def test_plans_compare_and_hash_by_their_bytes() -> None:
    plan, same, other = select(), select(), select(head_dim=32)
    assert plan == same
    assert hash(plan) == hash(same)
    assert plan is not same
    assert plan != other
    assert plan != bytes(plan)
    assert {plan: 1}[same] == 1
    assert len(bytes(plan)) == 1024


def test_copies_of_a_plan_are_the_plan() -> None:
    plan = select()
    assert copy.copy(plan) is plan
    assert copy.deepcopy(plan) is plan


def test_threads_share_a_plan() -> None:
    plan = select()
    results: dict[int, Any] = {}

    def work(index: int) -> None:
        args, workspace = make_args(), flashdec.Workspace.allocate(plan)
        for _ in range(20):
            plan.run(args, workspace)
        results[index] = args.o.tobytes()

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 4
    assert len(set(results.values())) == 1


def test_plan_says_what_it_decided() -> None:
    plan = select()
    assert (plan.backend, plan.device) == (flashdec.Backend.CPU, "cpu")
    assert flashdec.kernels()[plan.info.kernel].name == plan.sku.name
    assert plan.info.max_splits > 1
    assert plan.workspace_size > 0
    assert plan.sku.name in repr(plan)


FROZEN = {
    "Descriptor": lambda: select().descriptor,
    "PlanPreference": lambda: ON_CPU,
    "PlanInfo": lambda: select().info,
    "KernelSku": lambda: select().sku,
    "PrecisionGuarantee": lambda: select().sku.precision_guarantee,
    "Support": lambda: flashdec.Support(True),
    "Workspace": lambda: flashdec.Workspace(0, 0, "cpu"),
}


@pytest.mark.parametrize("make", FROZEN.values(), ids=FROZEN)
def test_values_are_immutable(make: Any) -> None:
    value = make()
    assert hash(value) == hash(make())
    name = dataclasses.fields(value)[0].name
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(value, name, getattr(value, name))


def test_support_tells_why() -> None:
    support = select().can_implement(make_args(o=np.zeros((2, 4, 24), np.float32)[::-1]))
    assert not support
    assert not support.ok
    check_sentence(support.reason, "o_stride_batch")
    assert flashdec.Support(True).reason == ""


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"batch": 1.5}, ("batch is 1.5", "an integer")),
        ({"batch": None}, ("batch is None", "an integer")),
        ({"scale": "a"}, ("scale is 'a'", "a number")),
        ({"scale": 1e-60}, ("scale is 1e-60", "a float32")),
        ({"page_size": 2**64}, (f"page_size is {2**64}", f"to {2**63 - 1}")),
    ],
)
def test_a_field_of_another_type_is_refused(more: dict[str, Any], words: tuple[str, ...]) -> None:
    with pytest.raises(flashdec.InvalidArgumentError) as caught:
        flashdec.Plan.select(flashdec.Descriptor(**{**PROBLEM, **more}))
    check_sentence(str(caught.value), *words)


@pytest.mark.parametrize("desc", [PROBLEM, None])
def test_what_is_no_descriptor_is_refused(desc: Any) -> None:
    with pytest.raises(flashdec.InvalidArgumentError) as caught:
        flashdec.Plan.select(desc)
    check_sentence(str(caught.value), type(desc).__name__, "must be a Descriptor")


def test_what_is_no_preference_is_refused() -> None:
    wishes: Any = {"prefer_backend": "cpu"}
    with pytest.raises(flashdec.InvalidArgumentError) as caught:
        flashdec.Plan.select(flashdec.Descriptor(**PROBLEM), wishes)
    check_sentence(str(caught.value), "preference is of type dict", "a PlanPreference")


def test_a_descriptor_takes_what_a_library_calls_an_element_type() -> None:
    desc = flashdec.Descriptor(**{**PROBLEM, "q_dtype": np.dtype("float16"), "kv_dtype": "float16"})
    assert (desc.q_dtype, desc.kv_dtype) == (flashdec.float16, flashdec.float16)
    with pytest.raises(flashdec.InvalidArgumentError, match="dtype is 'int8'"):
        flashdec.Descriptor(**{**PROBLEM, "q_dtype": "int8"})
