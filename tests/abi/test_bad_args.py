"""Every pointer, flag and length of the args: can_implement and run refuse alike, touching nothing.

Strides have a file of their own: test_bad_strides.py.
"""

from __future__ import annotations

from typing import Any

import pytest
from refusal import check_accepted, check_refused
from scene import (
    INVALID_FLAGS,
    INVALID_KV_LEN,
    INVALID_PAGE,
    INVALID_VALUE,
    MISALIGNED,
    NULL_POINTER,
    Scene,
    check_sentence,
    last_error,
)

UNIFORM = 1
LENGTHS_BY_FLAG = {"kv_len": None, "flags": UNIFORM}
LONGEST = 600  # PROBLEM["max_kv_len"]

ACCEPTED: list[tuple[str, bool, dict[str, Any]]] = [
    ("plain", False, {}),
    ("paged", True, {}),
    ("no lse", False, {"lse": None}),
    ("no status", False, {"status": None}),
    ("no kv_len", False, {"kv_len": None}),
    ("uniform 0", False, {**LENGTHS_BY_FLAG, "uniform_kv_len": 0}),
    ("uniform longest", False, {**LENGTHS_BY_FLAG, "uniform_kv_len": LONGEST}),
]

REFUSED: list[tuple[str, bool, dict[str, Any], int, tuple[object, ...]]] = [
    *((f"{name} NULL", False, {name: None}, NULL_POINTER, (f"{name} is NULL",)) for name in "qkvo"),
    ("page_table NULL", True, {"page_table": None}, NULL_POINTER, ("page_table is NULL",)),
    ("page_table without pages", False, {"page_table": 4096}, INVALID_VALUE,
     ("page_table", "page_size is 0")),
    ("flags 8", False, {"flags": 8}, INVALID_FLAGS, ("flags", "0x8", "0x7")),
    ("flags high", False, {"flags": 2**31}, INVALID_FLAGS, ("flags", "0x80000000", "0x7")),
    ("uniform and kv_len", False, {"flags": UNIFORM, "uniform_kv_len": 5}, INVALID_VALUE,
     ("kv_len", "FLASHDEC_ARGS_UNIFORM_KV_LEN")),
    ("uniform -1", False, {**LENGTHS_BY_FLAG, "uniform_kv_len": -1}, INVALID_VALUE,
     ("uniform_kv_len is -1", LONGEST)),
    ("uniform beyond", False, {**LENGTHS_BY_FLAG, "uniform_kv_len": LONGEST + 1}, INVALID_VALUE,
     (f"uniform_kv_len is {LONGEST + 1}", LONGEST)),
    ("uniform 2**63-1", False, {**LENGTHS_BY_FLAG, "uniform_kv_len": 2**63 - 1}, INVALID_VALUE,
     (2**63 - 1, LONGEST)),
    ("uniform -2**63", False, {**LENGTHS_BY_FLAG, "uniform_kv_len": -(2**63)}, INVALID_VALUE,
     (-(2**63), LONGEST)),
    ("uniform without its flag", False, {"kv_len": None, "uniform_kv_len": 5}, INVALID_VALUE,
     ("uniform_kv_len is 5", "FLASHDEC_ARGS_UNIFORM_KV_LEN")),
]  # fmt: skip

# How far off its alignment each pointer is moved, and the alignment it is held to.
OFF = [
    *((name, off, 16) for name in "qkvo" for off in (1, 8)),
    *((name, off, 4) for name in ("lse", "kv_len", "page_table", "status") for off in (1, 2)),
]


@pytest.mark.parametrize(("paged", "fields"), [row[1:] for row in ACCEPTED],
                         ids=[row[0] for row in ACCEPTED])  # fmt: skip
def test_accepted(paged: bool, fields: dict[str, Any]) -> None:
    check_accepted(Scene(paged=paged), fields)


@pytest.mark.parametrize(("paged", "fields", "code", "words"), [row[1:] for row in REFUSED],
                         ids=[row[0] for row in REFUSED])  # fmt: skip
def test_refused(paged: bool, fields: dict[str, Any], code: int, words: tuple[object, ...]) -> None:
    check_refused(Scene(paged=paged), fields, code, *words)


@pytest.mark.parametrize(("name", "off", "align"), OFF, ids=[f"{row[0]}+{row[1]}" for row in OFF])
def test_misaligned_pointer_is_refused(name: str, off: int, align: int) -> None:
    scene = Scene(paged=name == "page_table")
    pointer = getattr(scene.args, name) + off
    check_refused(scene, {name: pointer}, MISALIGNED, f"{name} is at", hex(pointer), align)


@pytest.mark.parametrize("align", [4, 8, 32, 256])
@pytest.mark.parametrize("name", list("qkvo"))
def test_pointers_are_held_to_the_promised_alignment(name: str, align: int) -> None:
    """Exactly: the promise itself is enough, half of it is not."""
    wide = {"head_dim": 64, "head_dim_v": 64, "alignment": align}
    scene = Scene(more=wide)
    pointer = getattr(scene.args, name)
    setattr(scene.args, name, pointer + align)
    assert scene.can_implement() == 0, last_error()
    setattr(scene.args, name, pointer)
    check_refused(scene, {name: pointer + align // 2}, MISALIGNED, f"{name} is at", align)


@pytest.mark.parametrize("length", [-1, LONGEST + 1, 2**31 - 1, -(2**31)])
def test_checked_run_names_the_bad_length(length: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLASHDEC_CHECK", "1")
    scene = Scene()
    scene.arrays["kv_len"][1] = length
    before = scene.everything()
    assert scene.run() == INVALID_KV_LEN
    check_sentence(last_error(), f"kv_len[1] is {length}", LONGEST)
    assert scene.everything() == before


@pytest.mark.parametrize("page", [-1, 160, 2**31 - 1, -(2**31)])
@pytest.mark.parametrize("place", [0, 74])
def test_checked_run_names_the_bad_page(
    page: int, place: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLASHDEC_CHECK", "1")
    scene = Scene(paged=True)
    scene.arrays["page_table"][1, place] = page
    before = scene.everything()
    assert scene.run() == INVALID_PAGE
    check_sentence(last_error(), f"page_table[1, {place}] is {page}", 159)
    assert scene.everything() == before


def test_checked_run_ignores_dead_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLASHDEC_CHECK", "1")
    scene = Scene(paged=True)
    scene.arrays["kv_len"][...] = 9, 0
    scene.arrays["page_table"][0, 2:] = -1
    scene.arrays["page_table"][1] = 2**31 - 1
    assert scene.run() == 0, last_error()


def test_the_check_belongs_to_the_plan(monkeypatch: pytest.MonkeyPatch) -> None:
    """flashdec.h, rule 8: what counts is the environment when the plan is selected."""
    monkeypatch.setenv("FLASHDEC_CHECK", "1")
    checked = Scene()
    monkeypatch.setenv("FLASHDEC_CHECK", "0")
    unchecked = Scene()
    for scene in (checked, unchecked):
        scene.arrays["kv_len"][0] = -1
    assert unchecked.run() == 0
    assert checked.run() == INVALID_KV_LEN
