from __future__ import annotations

import io
import json
import os
import shlex
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import flashdec
from flashdec import reference
from flashdec.cli.progress import Progress
from flashdec.errors import InvalidArgumentError
from flashdec.plan import Plan
from flashdec.preference import PlanPreference
from flashdec.selftest import check as checking
from flashdec.selftest.carriers import Carrier, host_carrier
from flashdec.selftest.cases import Case, generate, parse_case
from flashdec.selftest.check import check
from flashdec.selftest.problem import make_problem
from flashdec.selftest.run import Written, run_pointers


def test_it_passes_and_reaches_every_usable_cpu_kernel(
    flashdec_command: Callable[..., Any],
) -> None:
    ran = flashdec_command("selftest", "--seed", "7", "--cases", "200")
    assert ran.status == 0, ran.out
    assert "all 200 cases are within the bound and repeat bit for bit" in ran.out
    assert max(map(len, ran.out.split("kernel  ", 1)[1].splitlines())) <= 100
    skipped = [line for line in ran.out.splitlines() if line.startswith("not here: ")]
    for sku in flashdec.kernels():
        isa = sku.name.split("_")[1]
        assert sku.name in ran.out or any(isa in line or "cuda" in line for line in skipped)


def test_json_has_the_schema_and_the_seed_decides(flashdec_command: Callable[..., Any]) -> None:
    first, again = (
        json.loads(flashdec_command("selftest", "--json", "--seed", "3", "--cases", "30").out)
        for _ in range(2)
    )
    assert first["schema"] == "flashdec-selftest/1"
    assert (first["ok"], first["cases"], first["seed"]) == (True, 30, 3)
    assert first["failures"] == []
    assert first["kernels"] == again["kernels"]
    assert first["worst_error_over_bound"] == again["worst_error_over_bound"] <= 1


def _wrong_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    right = reference.exact_decode

    def wrong(*arrays: Any, **options: Any) -> reference.Exact:
        exact = right(*arrays, **options)
        return replace(exact, o=exact.o * 1.1 + 0.1)

    monkeypatch.setattr(reference, "exact_decode", wrong)


def test_it_fails_where_results_are_wrong_and_prints_a_line_that_recreates_it(
    flashdec_command: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    _wrong_reference(monkeypatch)
    ran = flashdec_command("selftest", "--seed", "1", "--cases", "20")
    assert ran.status == 1
    assert "20 of 20 cases FAILED" in ran.out
    lines = [line for line in ran.out.splitlines() if "again: flashdec" in line]
    assert len(lines) == 10  # no more are shown
    words = shlex.split(lines[0].split("again: flashdec ")[1])
    again = flashdec_command(*words)
    assert again.status == 1
    assert words[2] in again.out
    monkeypatch.undo()
    assert flashdec_command(*words).status == 0


def test_failures_are_in_the_json(
    flashdec_command: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    _wrong_reference(monkeypatch)
    ran = flashdec_command("selftest", "--seed", "1", "--cases", "5", "--json")
    document = json.loads(ran.out)
    assert ran.status == 1
    assert document["ok"] is False
    failure = document["failures"][0]
    assert parse_case(failure["line"]) == Case(**failure["case"])
    assert failure["failure"].startswith("o[")


@pytest.mark.parametrize("damage", ["o", "lse", "status", "between"])
def test_it_sees_each_kind_of_damage(damage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    case = replace(generate(1, 0, ["reference"])[0], lse=True, padding=16, lengths="all")

    def damaged(*arguments: Any, **options: Any) -> Written:
        written = run_pointers(*arguments, **options)
        if damage == "o":
            written.o[0, 0, 0] = np.array(7, written.o.dtype)
        if damage == "lse":
            assert written.lse is not None
            written.lse[0, 0] += 1
        if damage == "between":
            assert written.o.base is not None
            written.o.base[0, 0, -1] = 0
        return replace(written, status=1) if damage == "status" else written

    assert check(case).failure == ""
    monkeypatch.setattr(checking, "run_pointers", damaged)
    assert check(case).failure != ""


def test_it_sees_bits_that_change_between_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    case = replace(
        generate(1, 0, ["reference"])[0], dtype="float32", lengths="all", batch_invariant=True
    )
    runs = changed = 0

    def restless(*arguments: Any, **options: Any) -> Written:
        nonlocal runs
        runs += 1
        written = run_pointers(*arguments, **options)
        if runs == changed:
            written.o[0, 0, 0] = np.nextafter(written.o[0, 0, 0], np.float32(np.inf))
        return written

    monkeypatch.setattr(checking, "run_pointers", restless)
    for run, words in ((2, "a repetition gave"), (3, "another number of threads gave")):
        runs, changed = 0, run
        assert check(case).failure.startswith(words)


def test_bfloat16_is_tested_without_ml_dtypes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checking, "arrays_can_hold", lambda element: False)
    for case in generate(12, 5, ["reference"]):
        outcome = check(replace(case, dtype="bfloat16"))
        assert (outcome.kernel, outcome.failure) == ("cpu_reference_bf16", "")


def test_carriers_that_copy_give_the_same_as_the_host() -> None:
    def upload(array: Any) -> tuple[int, Any]:
        padded = np.empty(array.nbytes + 256, np.uint8)
        skipped = -int(padded.__array_interface__["data"][0]) % 256
        copy = padded[skipped : skipped + array.nbytes]
        copy[...] = array
        return int(copy.__array_interface__["data"][0]), copy

    def download(handle: Any, array: Any) -> None:
        array[...] = handle

    for case in generate(20, 11, ["reference"]):
        problem = make_problem(case)
        plan = Plan.select(problem.descriptor, PlanPreference(prefer_backend="cpu"))
        here = run_pointers(plan, problem, host_carrier(), garbage=1)
        there = run_pointers(plan, problem, Carrier("copy", upload, download), garbage=2)
        assert here.same_bits(there)


def test_cases_repeat_by_seed_and_cover_the_table() -> None:
    cases = generate(200, 9, ["avx2", "reference"])
    assert cases == generate(200, 9, ["avx2", "reference"])
    assert cases != generate(200, 10, ["avx2", "reference"])
    assert {(case.target, case.dtype, case.layout, case.page_size > 0) for case in cases} == {
        (target, dtype, layout, paged)
        for target in ("avx2", "reference")
        for dtype in ("bfloat16", "float16", "float32")
        for layout in ("bshd", "bhsd")
        for paged in (False, True)
    }
    for case in cases:
        assert parse_case(str(case)) == case


def test_the_environment_is_as_before(flashdec_command: Callable[..., Any]) -> None:
    before = os.environ.get("FLASHDEC_ISA")
    flashdec_command("selftest", "--cases", "3")
    assert os.environ.get("FLASHDEC_ISA") == before


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("", "case lacks target=; pass the line as it was printed"),
        ("{line} x=1", "case has x=, which is no field of a case"),
        ("{line} batch=one", "batch is 'one'; it must be a whole number"),
        ("{line} dtype=int8", "dtype is 'int8'; it must be bfloat16, float16, float32"),
    ],
)
def test_wrong_lines_are_refused(
    line: str, sentence: str, flashdec_command: Callable[..., Any]
) -> None:
    text = line.format(line=generate(1, 0, ["reference"])[0])
    with pytest.raises(InvalidArgumentError, match=sentence):
        parse_case(text)
    ran = flashdec_command("selftest", "--case", text)
    assert (ran.status, ran.out) == (2, "")
    assert ran.err.startswith(f"flashdec selftest: {sentence}")


def test_wrong_options_are_refused(flashdec_command: Callable[..., Any]) -> None:
    assert "cases is 0; it must be at least 1" in flashdec_command("selftest", "--cases", "0").err
    assert "seed is -1; it must be 0 or more" in flashdec_command("selftest", "--seed", "-1").err


def test_a_case_that_the_library_refuses_is_a_failure() -> None:
    case = replace(generate(1, 0, ["reference"])[0], head_dim=300, head_dim_v=300)
    assert "refused: head_dim is 300" in check(case).failure


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_the_bar_is_drawn_on_a_terminal_only() -> None:
    terminal, file = _Terminal(), io.StringIO()
    for stream in (terminal, file):
        with Progress("cases", 4, stream) as progress:
            progress.advance("two", steps=2)
            progress.reach(4)
    assert file.getvalue() == ""
    assert "100% two" in terminal.getvalue()
    assert terminal.getvalue().endswith("\r\x1b[K")
