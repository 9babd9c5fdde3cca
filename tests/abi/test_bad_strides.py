"""Every stride of the args at and beyond its limits, overlaps, broadcasts and unused axes."""

from __future__ import annotations

from typing import Any

import pytest
from refusal import check_accepted, check_refused
from scene import INVALID_STRIDE, MISALIGNED, Scene, last_error

ARRAYS = "qkvo"
AXES = {"q": ("batch", "head"), "k": ("batch", "token", "head"), "v": ("batch", "token", "head"),
        "o": ("batch", "head")}  # fmt: skip
STRIDES = [f"{name}_stride_{axis}" for name in ARRAYS for axis in AXES[name]]
INPUTS = [name for name in STRIDES if name[0] != "o"]

SMALL = {"batch": 2, "q_heads": 2, "kv_heads": 2, "max_kv_len": 4, "head_dim": 4, "head_dim_v": 4}


@pytest.mark.parametrize("value", [-4, -(2**63)])
@pytest.mark.parametrize("name", STRIDES)
def test_negative_stride_is_refused(name: str, value: int) -> None:
    check_refused(Scene(), {name: value}, INVALID_STRIDE, f"{name} is {value}")


@pytest.mark.parametrize("name", [f"{array}_stride_batch" for array in "kv"])
def test_stride_of_pages_is_named_so(name: str) -> None:
    scene = Scene(paged=True)
    check_refused(scene, {name: -4}, INVALID_STRIDE, name.replace("batch", "page"), -4)


@pytest.mark.parametrize("name", STRIDES)
def test_misaligned_stride_is_refused(name: str) -> None:
    value = getattr(Scene().args, name) + 1
    check_refused(Scene(), {name: value}, MISALIGNED, f"{name} is {value}", "16")


@pytest.mark.parametrize("value", [2**63 - 16, 2**62, 2**61])
@pytest.mark.parametrize("name", STRIDES)
def test_overflowing_stride_is_refused(name: str, value: int) -> None:
    check_refused(Scene(), {name: value}, INVALID_STRIDE, name[0], "2^62")


@pytest.mark.parametrize("name", STRIDES)
def test_far_stride_is_accepted(name: str) -> None:
    """Up to 2^62 bytes in all; can_implement reads none of the arrays."""
    scene = Scene(more=SMALL)
    setattr(scene.args, name, 2**58)
    assert scene.can_implement() == 0, last_error()


@pytest.mark.parametrize("name", ["k_stride_token", "v_stride_token"])
def test_far_tokens_that_are_not_there_have_no_address(name: str) -> None:
    """Where they would be may be more than can be counted: seen by the sanitizer."""
    scene = Scene(more=SMALL)
    scene.arrays["kv_len"][...] = 1
    check_accepted(scene, {name: 2**58})


def test_reach_is_counted_over_all_axes() -> None:
    scene = Scene(more=SMALL)
    fields = {"k_stride_batch": 2**59, "k_stride_head": 2**59}
    check_refused(scene, fields, INVALID_STRIDE, "k", "2^62")


@pytest.mark.parametrize("name", INPUTS)
def test_broadcast_input_is_accepted(name: str) -> None:
    check_accepted(Scene(), {name: 0})


def test_every_input_broadcast_is_accepted() -> None:
    check_accepted(Scene(), dict.fromkeys(INPUTS, 0))


OVERLAPS: list[tuple[str, dict[str, int], tuple[object, ...]]] = [
    ("o rows of one batch", {"o_stride_batch": 0}, ("o_stride_batch is 0", "24", "overlap")),
    ("o rows of one head", {"o_stride_head": 0}, ("o_stride_head 0", "24", "overlap")),
    ("o rows too close", {"o_stride_head": 20}, ("o_stride_head 20", "24")),
    ("o batches too close", {"o_stride_batch": 92}, ("o_stride_batch is 92", "24")),
    ("o heads outside too close", {"o_stride_batch": 24, "o_stride_head": 44},
     ("o_stride_head 44", "24")),
    ("lse batches on one", {"lse_stride_batch": 0}, ("lse_stride_batch is 0",)),
    ("lse heads on one", {"lse_stride_head": 0}, ("lse_stride_head 0",)),
    ("lse batches too close", {"lse_stride_batch": 3}, ("lse_stride_batch is 3",)),
    ("lse batch negative", {"lse_stride_batch": -4}, ("lse_stride_batch is -4",)),
    ("lse head negative", {"lse_stride_head": -1}, ("lse_stride_head is -1",)),
    ("lse batch beyond", {"lse_stride_batch": 2**60}, ("lse_stride_batch", 2**60, "2^60")),
    ("lse head beyond", {"lse_stride_head": 2**63 - 1}, ("lse_stride_head", 2**63 - 1, "2^60")),
]  # fmt: skip


@pytest.mark.parametrize(("fields", "words"), [row[1:] for row in OVERLAPS],
                         ids=[row[0] for row in OVERLAPS])  # fmt: skip
def test_overlapping_output_is_refused(fields: dict[str, int], words: tuple[object, ...]) -> None:
    check_refused(Scene(), fields, INVALID_STRIDE, *words)


APART: dict[str, dict[str, int]] = {
    "o heads outside": {"o_stride_batch": 24, "o_stride_head": 48},
    "lse heads outside": {"lse_stride_batch": 1, "lse_stride_head": 2},
}


@pytest.mark.parametrize("fields", APART.values(), ids=APART)
def test_output_with_heads_outside_is_accepted(fields: dict[str, int]) -> None:
    check_accepted(Scene(), fields)


@pytest.mark.parametrize(
    ("more", "fields", "words"),
    [
        ({"batch": 1}, {"o_stride_batch": 96, "o_stride_head": 0}, ("o_stride_batch is 96",)),
        ({"q_heads": 2, "kv_heads": 2}, {"o_stride_batch": 0}, ("o_stride_head 24",)),
    ],
    ids=["one sequence", "two heads"],
)
def test_overlap_tells_the_strides_that_were_given(
    more: dict[str, int], fields: dict[str, int], words: tuple[object, ...]
) -> None:
    check_refused(Scene(more=more), fields, INVALID_STRIDE, *words)


def test_lse_strides_are_ignored_without_lse() -> None:
    check_accepted(Scene(), {"lse": None, "lse_stride_batch": -7, "lse_stride_head": 0})


UNUSED: list[tuple[dict[str, Any], list[str]]] = [
    ({}, ["q_stride_token", "o_stride_token"]),
    ({"batch": 1}, [f"{name}_stride_batch" for name in (*ARRAYS, "lse")]),
    ({"q_heads": 1, "kv_heads": 1}, [f"{name}_stride_head" for name in (*ARRAYS, "lse")]),
    ({"q_heads": 4, "kv_heads": 1}, ["k_stride_head", "v_stride_head"]),
    ({"max_kv_len": 1}, ["k_stride_token", "v_stride_token"]),
]


@pytest.mark.parametrize("value", [-1, 3, 2**63 - 1, -(2**63)])
@pytest.mark.parametrize(("more", "names"), UNUSED, ids=[",".join(row[1]) for row in UNUSED])
def test_stride_along_one_element_is_ignored(
    more: dict[str, Any], names: list[str], value: int
) -> None:
    check_accepted(Scene(more=more), dict.fromkeys(names, value))


TABLES: list[tuple[str, int, tuple[object, ...]]] = [
    ("one less than a row", 74, ("page_table_stride is 74", "75")),
    ("negative", -75, ("page_table_stride is -75", "75")),
    ("least", -(2**63), (-(2**63), "75")),
    ("beyond", 2**60, (2**60, "2^60")),
]


@pytest.mark.parametrize(("value", "words"), [row[1:] for row in TABLES],
                         ids=[row[0] for row in TABLES])  # fmt: skip
def test_bad_page_table_stride_is_refused(value: int, words: tuple[object, ...]) -> None:
    check_refused(Scene(paged=True), {"page_table_stride": value}, INVALID_STRIDE, *words)


def test_one_row_of_pages_for_all_is_accepted() -> None:
    check_accepted(Scene(paged=True), {"page_table_stride": 0})


def test_page_table_stride_is_ignored_without_pages() -> None:
    check_accepted(Scene(), {"page_table_stride": -1})
