"""``flashdec explain`` says why a kernel is chosen, and the others are not."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

import flashdec


def rows(command: Callable[..., Any], *arguments: str) -> tuple[int, dict[str, Any]]:
    ran = command("explain", *arguments, "--json")
    return ran.status, json.loads(ran.out)


def test_what_is_chosen_is_the_first_that_could(flashdec_command: Callable[..., Any]) -> None:
    status, facts = rows(flashdec_command, "2,32,8,128,4k", "--device", "cpu")
    assert status == 0
    assert facts["schema"] == "flashdec-explain/1"
    first = next(each for each in facts["kernels"] if each["supported"])
    assert facts["plan"]["kernel"] == first["name"]
    assert [each["name"] for each in facts["kernels"]] == [s.name for s in flashdec.kernels()]
    for each in facts["kernels"]:
        assert each["supported"] == (each["reason"] == "")


def test_every_kernel_gives_its_reason(
    flashdec_command: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLASHDEC_ISA", "generic")
    _, facts = rows(flashdec_command, "1,32,8,128,4k", "--dtype", "float16", "--device", "cpu")
    reasons = {each["name"]: each["reason"] for each in facts["kernels"]}
    assert reasons["cpu_generic_f16"] == ""
    assert reasons["cpu_generic_bf16"] == (
        "q has the dtype float16 and k float16; cpu_generic_bf16 takes bfloat16 and bfloat16"
    )
    assert reasons["cpu_reference_f16"] == (
        "the instruction set is generic by FLASHDEC_ISA; cpu_reference_f16 needs reference"
    )
    for sku in flashdec.kernels():
        if sku.backend is flashdec.Backend.CUDA:
            assert reasons[sku.name] == (
                f"{sku.name} runs on CUDA, which the preference leaves out"
            )


def test_text(flashdec_command: Callable[..., Any]) -> None:
    ran = flashdec_command("explain", "8,32,8,128,32k", "--page-size", "16", "--device", "cpu")
    assert ran.status == 0
    assert "kernel        cpu_" in ran.out
    assert "workspace     " in ran.out
    assert ran.out.count("chosen") == 1
    assert "could, comes later" in ran.out


def test_no_kernel(flashdec_command: Callable[..., Any]) -> None:
    arguments = "1,4,2,300,4k", "--device", "cpu"
    status, facts = rows(flashdec_command, *arguments)
    assert status == 1
    assert facts["plan"] is None
    assert facts["refusal"] == "head_dim is 300; this build has kernels up to 256"
    assert not any(each["supported"] for each in facts["kernels"])
    assert "kernel        none: head_dim is 300" in flashdec_command("explain", *arguments).out


def test_refusals(flashdec_command: Callable[..., Any]) -> None:
    for arguments, words in (
        (("1,3,2,128,4k",), "Hq is 3; it must be a multiple of Hkv"),
        (("1,4,2,128,4k", "--page-size", "-1"), "page_size is -1"),
        (("1,4,2,128,4k", "--device", "tpu"), "tpu"),
        (("1,4,2,128,4k", "--alignment", "3"), "alignment is 3; it must be 0 or a power of two"),
    ):
        ran = flashdec_command("explain", *arguments)
        assert ran.status == 2
        assert words in ran.err


def test_of_descriptors() -> None:
    desc = flashdec.Descriptor.new_gqa(
        batch=1, q_heads=4, kv_heads=1, max_kv_len=64, head_dim=300, dtype="float32"
    )
    found = flashdec.explain(desc, flashdec.PlanPreference(prefer_backend="cpu"))
    assert not any(found_support for _, found_support in found)
    reasons = {sku.name: support.reason for sku, support in found}
    assert reasons["cpu_generic_f32"] == "head_dim is 300; cpu_generic_f32 takes up to 256"
    with pytest.raises(flashdec.InvalidArgumentError, match="num_threads is 5000"):
        flashdec.explain(desc, flashdec.PlanPreference(num_threads=5000))
