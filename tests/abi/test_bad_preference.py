"""Every field of the preference at and beyond both ends of its range, and bad environments."""

from __future__ import annotations

import platform
import re
from typing import Any

import pytest
from scene import (
    FAMILIES,
    INVALID_FLAGS,
    INVALID_VALUE,
    NO_DEVICE,
    ON_CPU,
    PREFERENCE_UNMET,
    PROBLEM,
    check_sentence,
    last_error,
    select,
)

import flashdec

NO_WORKSPACE = 4

ACCEPTED: list[dict[str, Any]] = [
    {},
    {"flags": 7},
    {"max_workspace_bytes": 1},
    {"max_workspace_bytes": 2**63 - 1},
    {"split_len": 1},
    {"split_len": 2**31 - 1},
    {"num_threads": 1},
    {"num_threads": 1024},
]

REFUSED: list[tuple[dict[str, Any], int, tuple[object, ...]]] = [
    ({"flags": 8}, INVALID_FLAGS, ("flags", "0x8", "0x7")),
    ({"flags": 2**31 + 1}, INVALID_FLAGS, ("flags", "0x80000001", "0x7")),
    ({"max_workspace_bytes": -1}, INVALID_VALUE, ("max_workspace_bytes is -1", 2**63 - 1)),
    ({"split_len": -1}, INVALID_VALUE, ("split_len is -1", 2**31 - 1)),
    ({"split_len": 2**31}, INVALID_VALUE, (f"split_len is {2**31}", 2**31 - 1)),
    ({"num_threads": 1025}, INVALID_VALUE, ("num_threads is 1025", 1024)),
    ({"num_threads": 2**32 - 1}, INVALID_VALUE, ("num_threads is 4294967295", 1024)),
    ({"prefer_backend": 3}, INVALID_VALUE, ("prefer_backend is 3", "2")),
    ({"prefer_backend": 2**32 - 1}, INVALID_VALUE, ("prefer_backend is 4294967295",)),
    (
        {"split_len": 32, "max_workspace_bytes": 1},
        PREFERENCE_UNMET,
        ("split_len 32", "max_workspace_bytes is 1"),
    ),
    ({"split_len": 32, "flags": NO_WORKSPACE}, PREFERENCE_UNMET, ("split_len 32", "is 0")),
]


def name_of(fields: dict[str, Any]) -> str:
    return ",".join(f"{name}={value}" for name, value in fields.items()) or "plain"


def as_python(fields: dict[str, Any]) -> flashdec.PlanPreference | None:
    """The same preference as Python spells it; None where it cannot."""
    made = {"prefer_backend": "cpu", **fields}
    flags = made.pop("flags", 0)
    if flags & ~NO_WORKSPACE or made["prefer_backend"] != "cpu":
        return None
    return flashdec.PlanPreference(**made, **({"max_workspace_bytes": 0} if flags else {}))


@pytest.mark.parametrize("fields", ACCEPTED, ids=name_of)
def test_accepted(fields: dict[str, Any]) -> None:
    code, _ = select(PROBLEM, {**ON_CPU, **fields})
    assert code == 0, last_error()


@pytest.mark.parametrize(
    ("fields", "code", "words"), REFUSED, ids=[name_of(row[0]) for row in REFUSED]
)
def test_refused(fields: dict[str, Any], code: int, words: tuple[object, ...]) -> None:
    found, _ = select(PROBLEM, {**ON_CPU, **fields})
    sentence = last_error()
    assert found == code, sentence
    check_sentence(sentence, *words)
    preference = as_python(fields)
    if preference is None:
        return
    with pytest.raises(FAMILIES[code // 10]) as caught:
        flashdec.Plan.select(flashdec.Descriptor(**PROBLEM), preference)
    assert (caught.value.code, str(caught.value)) == (code, sentence)


def test_cuda_without_a_gpu_is_refused() -> None:
    code, _ = select(PROBLEM, {"prefer_backend": 2})
    if code == 0:
        pytest.skip("this machine has a GPU")
    check_sentence(last_error())
    assert re.search("CUDA kernels|NVIDIA driver|GPU", last_error())
    assert code == NO_DEVICE
    preference = flashdec.PlanPreference(prefer_backend="cuda")
    with pytest.raises(flashdec.DeviceError):
        flashdec.Plan.select(flashdec.Descriptor(**PROBLEM), preference)


@pytest.mark.parametrize("value", [2**63, 2**64 + 1, -(2**63) - 1, 1.5, "1"])
@pytest.mark.parametrize("name", ["max_workspace_bytes", "split_len", "num_threads"])
def test_what_does_not_fit_the_c_field_is_refused(name: str, value: Any) -> None:
    preference = flashdec.PlanPreference(prefer_backend="cpu", **{name: value})
    with pytest.raises(flashdec.InvalidArgumentError, match=name) as caught:
        flashdec.Plan.select(flashdec.Descriptor(**PROBLEM), preference)
    limit = " to " if isinstance(value, int) else "it must be an integer"
    check_sentence(str(caught.value), name, repr(value), limit)


@pytest.mark.parametrize("value", ["gpu", "", 1, None], ids=repr)
def test_unknown_backend_name_is_refused(value: Any) -> None:
    preference = flashdec.PlanPreference(prefer_backend=value)
    with pytest.raises(flashdec.InvalidArgumentError, match="prefer_backend") as caught:
        flashdec.Plan.select(flashdec.Descriptor(**PROBLEM), preference)
    check_sentence(str(caught.value), repr(value))


ISAS = (
    ("reference", "generic", "neon", "neonbf16")
    if platform.machine() == "aarch64"
    else ("reference", "generic", "avx2", "avx512", "avx512bf16")
)
OF_ANOTHER_ARCHITECTURE = "avx2" if platform.machine() == "aarch64" else "neon"

BAD_ENVIRONMENTS = [
    *(("FLASHDEC_NUM_THREADS", text, ("1 to 1024",))
      for text in ("0", "-1", "1025", "x", "4x", " 4", "1.5", "99999999999999999999")),
    *(("FLASHDEC_ISA", text, ISAS)
      for text in ("sse9", "GENERIC", " generic", "1", OF_ANOTHER_ARCHITECTURE)),
    *(("FLASHDEC_CHECK", text, ("0 or 1",)) for text in ("yes", "2", "01", " 1")),
]  # fmt: skip


@pytest.mark.parametrize(("name", "text", "words"), BAD_ENVIRONMENTS)
def test_bad_environment_is_refused(
    name: str, text: str, words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, text)
    code, _ = select(PROBLEM, ON_CPU)
    assert code == INVALID_VALUE
    check_sentence(last_error(), name, f'"{text}"', *words)


GOOD_ENVIRONMENTS = [
    *(("FLASHDEC_NUM_THREADS", text) for text in ("", "1", "1024")),
    *(("FLASHDEC_ISA", text) for text in ("", "generic", "reference")),
    *(("FLASHDEC_CHECK", text) for text in ("", "0", "1")),
]


@pytest.mark.parametrize(("name", "text"), GOOD_ENVIRONMENTS)
def test_good_environment(name: str, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, text)
    code, _ = select(PROBLEM, ON_CPU)
    assert code == 0, last_error()
