"""The tables of ``flashdec bench`` on a GPU: lines, goals, contenders, and the text of a report."""

from __future__ import annotations

import json
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from flashdec.bench.cuda import fa3, flashinfer, gpu, sdpa
from flashdec.bench.cuda.contenders import PEERS, VARIANTS, selected
from flashdec.bench.cuda.goals import RULES, goal_us
from flashdec.bench.cuda.lines import LINE_PRESETS, Line, line_of, line_preset
from flashdec.bench.cuda.reader import defines
from flashdec.bench.cuda.report import footer, line_text, to_json
from flashdec.bench.cuda.results import LineResult, Row
from flashdec.bench.cuda.scene import copies_of, pool_bytes
from flashdec.bench.shapes import PRESETS, parse_case
from flashdec.dtypes import DType
from flashdec.errors import InvalidArgumentError

GIB = 2**30

# case, read in microseconds, the goal plus 0.4: the table's stretch has 2.4 where the goal has 2.8
KNOWN = [
    ("1,32,8,128,1k", 3.2, 6.0),
    ("1,32,8,128,4k", 7.3, 10.1),
    ("1,32,8,128,128k", 172.2, 175.9),
    ("8,32,8,128,32k", 345.5, 350.0),
    ("256,32,8,128,512", 172.2, 175.8),
    ("64,8,1,128,4k", 44.5, 47.5),
    ("16,64,4,128,8k", 87.3, 90.5),
]

BYTES = {
    "1,32,8,128,512": 2097152,
    "1,32,8,128,4096": 16777216,
    "8,32,8,128,32768": 1073741824,
    "64,8,1,128,4096": 134217728,
    "8,16,8,256,8192": 536870912,
    "8,16,16,64,4096": 134217728,
}


def line(text: str, **fields: Any) -> Line:
    return Line(parse_case(text), **fields)


def test_the_decode_preset_is_the_grid() -> None:
    lines = LINE_PRESETS["decode"].lines
    assert len(lines) == 19
    assert {line.dtype for line in lines} == {DType.BFLOAT16}
    sizes = {str(line.case): line.kv_bytes for line in lines}
    assert BYTES.items() <= sizes.items()
    assert LINE_PRESETS["decode"].variants == ("default", "kv-len")
    assert {line.page_size for line in LINE_PRESETS["paged"].lines} == {16}
    assert len(LINE_PRESETS["paged"].lines) == 19


def test_skew_has_one_long_sequence() -> None:
    (skew,) = LINE_PRESETS["skew"].lines
    assert skew.kv_bytes == 398458880
    assert skew.pages == (4096,) + (64,) * 31
    assert skew.cache_shape == (6080, 16, 8, 128)
    assert str(skew) == "32,32,8,128,65536 page 16 2 lengths"


def test_the_other_presets_hold_what_they_say() -> None:
    off_grid = LINE_PRESETS["offgrid"].lines
    assert {line.case.batch for line in off_grid} >= {3, 5, 12, 17, 20, 33, 66, 132, 133, 265}
    assert {line.case.kv_len for line in off_grid} >= {777, 1003, 5000, 100000}
    assert {line.case.group_size for line in off_grid} >= {3, 5, 7, 12}
    assert {line.case.head_dim for line in off_grid} >= {80, 96, 112, 192}
    assert {line.page_size for line in off_grid} == {0, 1, 8, 32, 64, 128, 256}
    assert DType.FLOAT16 in {line.dtype for line in off_grid}
    assert all(line.case.kv_len >= 4096 for line in LINE_PRESETS["invariant"].lines)
    assert LINE_PRESETS["invariant"].variants == ("default", "invariant")
    for name, preset in LINE_PRESETS.items():
        assert preset.about
        assert len(set(preset.lines)) == len(preset.lines), name
        assert {line.rule for line in preset.lines} <= set(RULES)
        assert set(preset.variants) <= set(VARIANTS)
    assert not set(LINE_PRESETS) & set(PRESETS)


def test_a_preset_of_cases_becomes_lines() -> None:
    preset = line_preset("mqa", DType.FLOAT16, 64)
    assert [line.case for line in preset.lines] == list(PRESETS["mqa"].cases)
    assert {(line.dtype, line.page_size, line.rule) for line in preset.lines} == {
        (DType.FLOAT16, 64, "paged")
    }
    with pytest.raises(InvalidArgumentError, match=r"preset is 'nope'; there are decode, paged, "):
        line_preset("nope", DType.FLOAT16, 0)


@pytest.mark.parametrize(("text", "read", "goal"), KNOWN)
def test_dense_goals_are_the_formula(text: str, read: float, goal: float) -> None:
    found = goal_us(line(text), read, None, "NVIDIA H100 80GB HBM3")
    assert found == pytest.approx(goal, abs=0.15)


def test_limits_in_microseconds_are_those_of_an_h100() -> None:
    short, skew = LINE_PRESETS["decode"].lines[0], LINE_PRESETS["decode"].lines[-1]
    assert goal_us(short, 2.5, None, "NVIDIA H100 80GB HBM3") == 5.2
    assert line_of(short.case, short.dtype, 0) == short
    assert line_of(short.case, DType.FLOAT16, 0).limit_us is None
    assert goal_us(short, 2.0, None, "NVIDIA H200") == pytest.approx(2.0 * 1.005 + 2.8)
    assert goal_us(skew, 128.5, 130.8, "NVIDIA H100 80GB HBM3") == 138
    assert goal_us(skew, 90.0, 91.0, "NVIDIA H200") == pytest.approx(91.0 * 1.01 + 2.8)


def test_paged_goals_take_the_larger_read() -> None:
    paged = line("64,8,1,128,4k", page_size=16, rule="paged")
    assert goal_us(paged, 44.5, 54.89, "") == pytest.approx(54.89 * 1.01 + 2.8)
    assert goal_us(paged, 44.5, 40.0, "") == pytest.approx(44.5 + 2.8)
    assert goal_us(line("3,32,8,128,4k", rule="offgrid"), 10, None, "") == pytest.approx(13.5)
    assert goal_us(line("3,32,8,128,4k", rule="reported"), 10, None, "") is None


def test_copies_sum_to_eight_gib_or_are_256() -> None:
    assert copies_of(line("1,32,8,128,512")) == 256
    assert copies_of(line("1,32,8,128,128k")) == 16
    assert copies_of(line("8,32,8,128,32k")) == 8
    lines = LINE_PRESETS["decode"].lines
    assert 8 * GIB <= pool_bytes(lines) < 9 * GIB
    ragged = line("1,1,1,8,1000", page_size=16)
    assert ragged.cache_shape == (63, 16, 1, 8)
    assert pool_bytes([ragged]) == 256 * 2 * 16128  # padded to 256 bytes


def test_the_read_kernel_gets_the_sizes_of_a_line() -> None:
    assert defines(line("8,32,8,80,4k", page_size=16)) == (
        "#define ROW 10\n#define HEADS 8\n#define PAGE 16\n"
    )
    assert "#define PAGE 1\n" in defines(line("8,32,8,80,4k"))


def test_contenders_are_chosen_by_name() -> None:
    chosen = selected(["default", "sm80"], ["cudnn", "xqa"])
    assert [each.name for each in chosen] == ["flashdec", "flashdec sm_80", "cuDNN", "XQA"]
    assert [each.ours for each in chosen] == [True, True, False, False]
    assert all(len(each.name) <= 20 for each in selected(VARIANTS, PEERS))
    with pytest.raises(InvalidArgumentError, match="variant is 'x'; there are default, kv-len, "):
        selected(["x"], [])
    with pytest.raises(InvalidArgumentError, match="peer is 'x'; there are cudnn, flash, fa3, "):
        selected([], ["x"])


def test_contenders_say_why_they_cannot(monkeypatch: pytest.MonkeyPatch) -> None:
    paged, ragged = line("1,8,8,64,100", page_size=8), line("1,8,8,64,1003")
    assert sdpa.refuse(paged) == "reads no page table"
    assert flashinfer.refuse(ragged) == "reads pages, and 1003 tokens are no whole number of 16"
    assert flashinfer.refuse(paged) == ""
    assert flashinfer.refuse_xqa(paged) == "has no kernel for pages of 8"
    assert flashinfer.refuse_xqa(line("1,8,8,64,96")) == ""
    (device_lengths,) = selected(["kv-len"], [])
    assert device_lengths.refuse(ragged) == ""
    assert device_lengths.refuse(paged).startswith("the same as flashdec")
    monkeypatch.delenv(fa3.VARIABLE, raising=False)
    assert fa3.missing().startswith("not installed: FLASHDEC_FA3 does not name")
    monkeypatch.setenv(fa3.VARIABLE, "/no/such/file")
    assert fa3.missing() == "not installed: FLASHDEC_FA3 names no file"


def test_operators_get_their_arguments_in_their_order() -> None:
    names = ("q", "k_new", "softmax_scale", "num_splits", "cp_world_size", "o_scale")
    schema = SimpleNamespace(arguments=[SimpleNamespace(name=name) for name in names])
    found = fa3.arguments_for(schema, {"q": "Q", "softmax_scale": 0.5, "unknown": 1})
    assert found == ["Q", None, 0.5, 0, 1, None]


def row(name: str, kind: str, us: float, **fields: Any) -> Row:
    return Row(name, f"about {name}", kind, (us - 0.1, us, us + 5), **fields)


@pytest.fixture
def result() -> LineResult:
    return LineResult(
        line("1,32,8,128,4k"),
        256,
        (
            row("read", "read", 7.3, note="4 x 128 threads on an SM"),
            row("flashdec", "ours", 9.2, error=0.4, goal_us=10.1, note="a kernel, splits 16"),
            row("flashdec kv_len", "ours", 11.0, error=0.4, goal_us=10.8),
            row("cuDNN", "peer", 12.7, error=0.6),
            row("FlashAttention-3", "peer", 14.5, error=float("inf")),
            Row("FlashInfer", "about", "peer", failure="RuntimeError: no kernel"),
        ),
        {"XQA": "flashinfer is not installed"},
    )


def test_a_line_is_printed_with_goals_and_failures(result: LineResult) -> None:
    first, read, ours, kv_len, cudnn, wrong, failed = line_text(result).splitlines()
    assert first == "1,32,8,128,4096  (16 MiB x 256)"
    assert read.split()[:4] == ["read", "7.30", "2298", "100.0"]
    assert ours.split()[1:8] == ["9.20", "1824", "79.3", "10.10", "ok", "1.38", "0.40"]
    assert ours.endswith("a kernel, splits 16")
    assert "miss" in kv_len
    assert kv_len.endswith("1.196 x flashdec")
    assert cudnn.split() == ["cuDNN", "12.70", "1321", "57.5", "0.60"]
    assert wrong.endswith("inf")
    assert failed == "  FlashInfer            failed: RuntimeError: no kernel"


def test_the_score_counts_goals_and_lines(result: LineResult) -> None:
    broken = LineResult(line("1,32,8,128,8k"), 256, failure="RuntimeError: gone")
    text = footer([result, broken])
    assert (
        "flashdec: 1 of 1 goals met, ahead of the fastest peer on 1 of 1 lines, "
        "0 failed, 0 beyond the bound" in text
    )
    assert "flashdec kv_len: 0 of 1 goals met" in text
    assert "  over the goal by   0.20 µs: 1,32,8,128,4096" in text
    assert "behind" not in text
    assert "goal, dense: read * 1.005 + 2.8 µs" in text
    assert "left out: XQA on 1 of 2 lines (flashinfer is not installed)" in text
    assert line_text(broken).endswith("failed: RuntimeError: gone")


def test_the_json_has_every_row(result: LineResult) -> None:
    here = gpu.Gpu(None, "cuda:0", None, "NVIDIA H100", 132, 1, 2, "580")
    document = json.loads(to_json(here, 0.82, [result], {"rounds": 3}))
    assert document["schema"] == "flashdec-bench-cuda/1"
    assert document["gpu"]["multiprocessors"] == 132
    (found,) = document["lines"]
    assert found["us"] == {
        "read": 7.3,
        "flashdec": 9.2,
        "flashdec kv_len": 11.0,
        "cuDNN": 12.7,
        "FlashAttention-3": 14.5,
    }
    assert found["fastest_peer"] == "cuDNN"
    rows = {each["contender"]: each for each in found["rows"]}
    assert rows["flashdec"]["within_goal"] is True
    assert rows["flashdec kv_len"]["within_goal"] is False
    assert rows["FlashAttention-3"]["error_is_infinite"]
    assert rows["FlashInfer"]["failure"] == "RuntimeError: no kernel"
    assert len(rows["cuDNN"]["samples_us"]) == 3


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (RuntimeError("CUDA error: bad\n\nCompile with hints"), "RuntimeError: CUDA error: bad"),
        (ValueError(), "ValueError: without a message"),
        (ValueError("x" * 300), "ValueError: " + "x" * 147 + "…"),
    ],
)
def test_a_reason_is_one_short_line(error: Exception, text: str) -> None:
    assert gpu.reason_of(error) == text


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (
            ["--preset", "decode", "--device", "cpu"],
            "preset 'decode' is the GPU's; those of the processor are short, ",
        ),
        (["--preset", "short", "--peers", "cudnn"], "peers is 'cudnn'; that is for a GPU"),
        (["--variant", "kv-len"], "variant is 'kv-len'; that is for a GPU"),
        (["--fa3", "fa3.so"], "fa3 is 'fa3.so'; that is for a GPU"),
        (
            ["--preset", "nope"],
            "preset is 'nope'; there are short, gqa, mha, mqa, head-dim, small, "
            "and on a GPU decode, ",
        ),
        (["--device", "cuda", "--threads", "2"], "threads is '2'; they are the CPU's"),
        (["--device", "cuda", "--layout", "bhsd"], "layout is 'bhsd'; on a GPU bench measures"),
        (["--preset", "paged", "--variant", "x"], "variant is 'x'; there are default, kv-len, "),
        (["--preset", "paged", "--peers", "x"], "peer is 'x'; there are cudnn, flash, fa3, "),
    ],
)
def test_refusals_are_one_sentence(
    options: list[str], sentence: str, flashdec_command: Callable[..., Any]
) -> None:
    ran = flashdec_command("bench", *options)
    assert (ran.status, ran.out) == (2, "")
    assert ran.err.startswith(f"flashdec bench: {sentence}")
    assert ran.err.count("\n") == 1


@pytest.mark.parametrize("module", ["torch", "cuda.core"])
def test_a_missing_module_is_named(
    module: str, flashdec_command: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gpu, "_is_there", lambda name: name != module)
    ran = flashdec_command("bench", "--preset", "skew")
    assert (ran.status, ran.out) == (2, "")
    assert "is not installed; " in ran.err
    assert "; --preset short measures the processor" in ran.err


def test_without_a_gpu_it_says_so(
    flashdec_command: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(gpu, "_is_there", lambda name: True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    ran = flashdec_command("bench", "--preset", "skew")
    assert (ran.status, ran.out) == (2, "")
    assert ran.err == (
        "flashdec bench: torch can use no GPU here; --preset short measures the processor\n"
    )
