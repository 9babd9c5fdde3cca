"""Every field of the descriptor at and beyond both ends of its range."""

from __future__ import annotations

from typing import Any

import pytest
from scene import (
    FAMILIES,
    INVALID_FLAGS,
    INVALID_VALUE,
    ON_CPU,
    PAGES,
    PROBLEM,
    UNSUPPORTED,
    check_sentence,
    last_error,
    select,
)

import flashdec

MOST = 2**31 - 1  # of every size
F32, F16, BF16 = 1, 2, 3
ONE_HEAD = {"q_heads": 1, "kv_heads": 1}
HALF = {"q_dtype": F16, "kv_dtype": F16}

ACCEPTED: list[dict[str, Any]] = [
    {},
    {"batch": 1},
    {"batch": MOST, **ONE_HEAD},
    {"q_heads": MOST, "kv_heads": 1, "batch": 1},
    {"q_heads": MOST, "kv_heads": MOST, "batch": 1},
    {"kv_heads": 1},
    {"kv_heads": 4},
    {"max_kv_len": 1},
    {"max_kv_len": MOST},
    {"head_dim": 1},
    {"head_dim": 256},
    {"head_dim_v": 0},
    {"head_dim_v": 1},
    {"head_dim_v": 256},
    {"page_size": 1, "num_pages": 1},
    {"page_size": MOST, "num_pages": MOST},
    {"scale": 2.0e38},
    {"scale": -1.0},
    {"scale": 1.0e-45},
    {"scale": 0.0},
    {"q_dtype": F16, "kv_dtype": F16},
    {"q_dtype": BF16, "kv_dtype": BF16},
    {"alignment": 4},
    {"alignment": 256},
    {"alignment": 2, **HALF},
]

# The fields, the status, and what the sentence must hold.
REFUSED: list[tuple[dict[str, Any], int, tuple[object, ...]]] = [
    ({"flags": 1}, INVALID_FLAGS, ("flags", "0x1")),
    ({"flags": 2**31}, INVALID_FLAGS, ("flags", "0x80000000")),
    ({"batch": 0}, INVALID_VALUE, ("batch is 0", MOST)),
    ({"batch": -1}, INVALID_VALUE, ("batch is -1", MOST)),
    ({"batch": MOST + 1}, INVALID_VALUE, (f"batch is {MOST + 1}", MOST)),
    ({"batch": 2**63 - 1}, INVALID_VALUE, (2**63 - 1, MOST)),
    ({"batch": -(2**63)}, INVALID_VALUE, (-(2**63), MOST)),
    ({"q_heads": 0}, INVALID_VALUE, ("q_heads is 0", MOST)),
    ({"q_heads": -4}, INVALID_VALUE, ("q_heads is -4", MOST)),
    ({"q_heads": MOST + 1}, INVALID_VALUE, (MOST + 1, MOST)),
    ({"q_heads": 5}, INVALID_VALUE, ("q_heads is 5", "kv_heads 2", "multiple")),
    ({"q_heads": MOST, "kv_heads": 1}, INVALID_VALUE, ("batch * q_heads", 2 * MOST, MOST)),
    ({"kv_heads": 0}, INVALID_VALUE, ("kv_heads is 0", 4)),
    ({"kv_heads": 5}, INVALID_VALUE, ("kv_heads is 5", 4)),
    ({"kv_heads": -2}, INVALID_VALUE, ("kv_heads is -2", 4)),
    ({"kv_heads": 3}, INVALID_VALUE, ("kv_heads 3", "multiple")),
    ({"max_kv_len": 0}, INVALID_VALUE, ("max_kv_len is 0", MOST)),
    ({"max_kv_len": -600}, INVALID_VALUE, ("max_kv_len is -600", MOST)),
    ({"max_kv_len": MOST + 1}, INVALID_VALUE, (MOST + 1, MOST)),
    ({"head_dim": 0}, INVALID_VALUE, ("head_dim is 0", 1)),
    ({"head_dim": -1}, INVALID_VALUE, ("head_dim is -1", 1)),
    ({"head_dim": 257}, UNSUPPORTED, ("head_dim is 257", "up to 256")),
    ({"head_dim": MOST}, UNSUPPORTED, (f"head_dim is {MOST}", "up to 256")),
    ({"head_dim": MOST + 1}, INVALID_VALUE, (MOST + 1, MOST)),
    ({"head_dim_v": -1}, INVALID_VALUE, ("head_dim_v is -1", MOST)),
    ({"head_dim_v": 257}, UNSUPPORTED, ("head_dim_v is 257", "up to 256")),
    ({"head_dim_v": MOST + 1}, INVALID_VALUE, (MOST + 1, MOST)),
    ({"page_size": -1}, INVALID_VALUE, ("page_size is -1", MOST)),
    ({"page_size": MOST + 1, "num_pages": 1}, INVALID_VALUE, (MOST + 1, MOST)),
    ({"page_size": 8}, INVALID_VALUE, ("num_pages is 0", "must be 1", MOST)),
    ({"num_pages": 1}, INVALID_VALUE, ("num_pages is 1", "page_size is 0")),
    ({**PAGES, "num_pages": -1}, INVALID_VALUE, ("num_pages is -1", MOST)),
    ({**PAGES, "num_pages": MOST + 1}, INVALID_VALUE, (MOST + 1, MOST)),
    ({"scale": float("nan")}, INVALID_VALUE, ("scale is", "nan", "finite")),
    ({"scale": float("inf")}, INVALID_VALUE, ("scale is inf", "finite")),
    ({"scale": -float("inf")}, INVALID_VALUE, ("scale is -inf", "finite")),
    ({"q_dtype": 0}, INVALID_VALUE, ("q_dtype is 0",)),
    ({"q_dtype": 4}, INVALID_VALUE, ("q_dtype is 4",)),
    ({"q_dtype": 2**32 - 1}, INVALID_VALUE, ("q_dtype is 4294967295",)),
    ({"kv_dtype": 0}, INVALID_VALUE, ("kv_dtype is 0",)),
    ({"kv_dtype": 4}, INVALID_VALUE, ("kv_dtype is 4",)),
    ({"kv_dtype": F16}, UNSUPPORTED, ("kv_dtype is float16", "q_dtype float32")),
    ({"alignment": 2}, INVALID_VALUE, ("alignment is 2", "from 4")),
    ({"alignment": 1, **HALF}, INVALID_VALUE, ("alignment is 1", "from 2")),
    ({"alignment": 12}, INVALID_VALUE, ("alignment is 12", "power of two")),
    ({"alignment": 512}, INVALID_VALUE, ("alignment is 512", "256")),
    ({"alignment": 2**31}, INVALID_VALUE, ("alignment is 2147483648", "256")),
    (
        {"batch": 1, "q_heads": MOST, "kv_heads": 1, "max_kv_len": MOST, "head_dim_v": 256},
        INVALID_VALUE,
        ("workspace", "2^60", "split_len"),
    ),
]


def name_of(fields: dict[str, Any]) -> str:
    return ",".join(f"{name}={value}" for name, value in fields.items()) or "plain"


@pytest.mark.parametrize("fields", ACCEPTED, ids=name_of)
def test_accepted(fields: dict[str, Any]) -> None:
    code, _ = select({**PROBLEM, **fields}, ON_CPU)
    assert code == 0, last_error()


@pytest.mark.parametrize(
    ("fields", "code", "words"), REFUSED, ids=[name_of(row[0]) for row in REFUSED]
)
def test_refused(fields: dict[str, Any], code: int, words: tuple[object, ...]) -> None:
    found, _ = select({**PROBLEM, **fields}, ON_CPU)
    sentence = last_error()
    assert found == code, sentence
    check_sentence(sentence, *words)
    if "flags" in fields:
        return  # Python's Descriptor has no flags
    with pytest.raises(FAMILIES[code // 10]) as caught:
        flashdec.Plan.select(
            flashdec.Descriptor(**{**PROBLEM, **fields}),
            flashdec.PlanPreference(prefer_backend="cpu"),
        )
    assert (caught.value.code, str(caught.value)) == (code, sentence)


@pytest.mark.parametrize("value", [2**63, -(2**63) - 1, 2**64 + 2, 1.5, "2"])
@pytest.mark.parametrize("name", ["batch", "max_kv_len", "page_size", "alignment"])
def test_what_does_not_fit_the_c_field_is_refused(name: str, value: Any) -> None:
    with pytest.raises(flashdec.InvalidArgumentError, match=name) as caught:
        flashdec.Plan.select(flashdec.Descriptor(**{**PROBLEM, name: value}))
    check_sentence(str(caught.value), name, value)


@pytest.mark.parametrize("value", [10**400, "1", 1e39], ids=["10**400", "text", "1e39"])
def test_scale_that_is_no_float_is_refused(value: Any) -> None:
    with pytest.raises(flashdec.InvalidArgumentError, match="scale"):
        flashdec.Plan.select(flashdec.Descriptor(**{**PROBLEM, "scale": value}))
