from __future__ import annotations

import pytest

from flashdec.bench.shapes import DEFAULT_PRESET, PRESETS, Case, parse_case, preset_named
from flashdec.errors import InvalidArgumentError


@pytest.mark.parametrize(
    ("text", "case"),
    [
        ("1,32,8,128,4096", Case(1, 32, 8, 128, 4096)),
        ("1,32,8,128,4k", Case(1, 32, 8, 128, 4096)),
        (" 8, 64 ,8,256,128K", Case(8, 64, 8, 256, 131072)),
        ("1,1,1,1,1", Case(1, 1, 1, 1, 1)),
    ],
)
def test_a_shape_is_read_and_written(text: str, case: Case) -> None:
    assert parse_case(text) == case
    assert parse_case(str(case)) == case


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("1,32,8,128", "shape '1,32,8,128' has 4 numbers; it must have five: B,Hq,Hkv,D,K"),
        ("1,32,8,128,4096,1", "shape '1,32,8,128,4096,1' has 6 numbers; it must have five:"),
        ("", "shape '' has 1 numbers"),
        ("x,32,8,128,4096", "B is 'x'; it must be a whole number, for instance 4096 or 4k"),
        ("1,32,8,128,-1", "K is '-1'; it must be a whole number"),
        ("1,32,8,1e2,1", "D is '1e2'; it must be a whole number"),
        ("1,32,8,128,4m", "K is '4m'; it must be a whole number"),
        ("0,32,8,128,1", "B is 0; it must be 1 to 2147483647"),
        ("1,32,8,128,2097152k", "K is 2147483648; it must be 1 to 2147483647"),
        ("1,32,5,128,1", "Hq is 32; it must be a multiple of Hkv, which is 5"),
        ("1,8,16,128,1", "Hq is 8; it must be a multiple of Hkv, which is 16"),
        ("1,8,8,257,1", "D is 257; there are kernels up to 256"),
    ],
)
def test_a_wrong_shape_is_refused_in_one_sentence(text: str, sentence: str) -> None:
    with pytest.raises(InvalidArgumentError) as refusal:
        parse_case(text)
    assert str(refusal.value).startswith(sentence)
    assert "\n" not in str(refusal.value)


def test_bytes_count_k_and_v_of_every_sequence() -> None:
    assert parse_case("2,32,8,128,4k").kv_bytes(2) == 2 * 2 * 4096 * 8 * 128 * 2


def test_presets_hold_distinct_cases_and_the_default_is_one() -> None:
    assert DEFAULT_PRESET in PRESETS
    for preset in PRESETS.values():
        assert preset.about
        assert len(set(preset.cases)) == len(preset.cases) > 0


def test_an_unknown_preset_is_refused_with_the_list() -> None:
    with pytest.raises(InvalidArgumentError, match=r"preset is 'nope'; there are short, gqa, "):
        preset_named("nope")
