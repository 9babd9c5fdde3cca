from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flashdec.bench import overhead, plot
from flashdec.bench.accuracy import check_points, error_over_bound
from flashdec.bench.contenders import CONTENDERS, select_contenders
from flashdec.bench.machine import machine, versions
from flashdec.bench.probe import calibrate
from flashdec.bench.problem import Problem, make_problem
from flashdec.bench.shapes import parse_case
from flashdec.bench.timing import Entry, Sample, Timing, interleave
from flashdec.dtypes import DType

_SMALL = ("--shape", "2,6,2,64,100", "--threads", "1,2")


@pytest.mark.usefixtures("fast_bench")
def test_the_table_and_the_json_agree(flashdec_command: Callable[..., Any], tmp_path: Path) -> None:
    file = tmp_path / "bench.json"
    ran = flashdec_command("bench", *_SMALL, "--json", str(file))
    document = json.loads(file.read_text())
    assert ran.status == 0
    assert max(map(len, ran.out.replace(str(file), "").splitlines())) <= 100
    assert document["schema"] == "flashdec-bench/1"
    assert {"machine", "versions", "commit", "date", "settings", "load_average"} <= set(document)
    assert document["settings"]["dtype"] == "bfloat16"
    assert [(each["case"], each["threads"]) for each in document["results"]] == [
        ("2,6,2,64,100", 1),
        ("2,6,2,64,100", 2),
    ]
    for each in document["results"]:
        assert each["contender"] == "flashdec"
        assert each["kv_bytes"] == 2 * 2 * 100 * 2 * 64 * 2
        assert len(each["samples_us"]) == len(each["samples_read_gb_per_s"]) == 7
        assert each["us"] == sorted(each["samples_us"])[3]
        assert 0 < each["error_over_bound"] <= 1
        assert f"{each['us']:.1f}" in ran.out


@pytest.mark.usefixtures("fast_bench")
def test_json_on_standard_output_stands_alone(flashdec_command: Callable[..., Any]) -> None:
    ran = flashdec_command(
        "bench",
        *_SMALL,
        "--json",
        "-",
        "--dtype",
        "float16",
        "--layout",
        "bhsd",
        "--page-size",
        "16",
        "--compare",
    )
    document = json.loads(ran.out)
    names = {each["contender"] for each in document["results"]}
    assert {"flashdec", "numpy"} <= names
    assert document["settings"]["page_size"] == 16
    if importlib.util.find_spec("torch") is not None:
        assert document["left_out"]["torch enable_gqa"] == "reads no page table"


@pytest.mark.parametrize("layout", ["bshd", "bhsd"])
@pytest.mark.parametrize("page_size", [0, 16])
@pytest.mark.parametrize("dtype", list(DType))
def test_every_contender_computes_the_same(layout: str, page_size: int, dtype: DType) -> None:
    problem = make_problem(
        parse_case("2,6,2,64,100"), dtype, layout=layout, page_size=page_size, rotation_bytes=2**20
    )
    checked = check_points(problem)
    assert len(checked) == 4
    for contender in select_contenders(compare=True):
        if contender.refuse(problem):
            continue
        run = contender.prepare(problem, 1)
        for copy in (0, problem.copies - 1):
            values = contender.values(problem, run(copy))
            exact = np.concatenate([point.exact.o[0] for point in checked]).reshape(values.shape)
            assert np.abs(values - exact).max() < (1e-5 if dtype is DType.FLOAT32 else 0.02)
        assert error_over_bound(problem, values, checked) <= 1 or contender.library in (
            "torch",
            "vllm",
        )


def _problem() -> Problem:
    return make_problem(parse_case("1,4,2,16,40"), DType.FLOAT32, rotation_bytes=2**17)


def test_a_wrong_contender_shows_its_error() -> None:
    problem = _problem()
    checked = check_points(problem)
    o = CONTENDERS[0].prepare(problem, 1)(0)
    assert error_over_bound(problem, o, checked) <= 1
    assert error_over_bound(problem, o + np.float32(0.01), checked) > 100
    o[0, 3, 0] = np.nan
    assert error_over_bound(problem, o, checked) == np.inf


def test_copies_lie_in_the_memory_that_the_probe_reads() -> None:
    problem = _problem()
    assert problem.copies >= 2
    assert problem.memory.nbytes >= 2**17
    for k, v in zip(problem.k, problem.v, strict=True):
        assert np.shares_memory(k, problem.memory)
        assert np.shares_memory(v, problem.memory)
        assert not np.shares_memory(k, v)
        np.testing.assert_array_equal(k, problem.k[0])


def test_pages_are_a_permutation() -> None:
    problem = make_problem(
        parse_case("3,4,2,16,40"), DType.FLOAT16, page_size=16, rotation_bytes=2**17
    )
    assert problem.page_table is not None
    assert problem.page_table.shape == (3, 3)
    assert sorted(problem.page_table.ravel()) == list(range(9))


def test_rounds_interleave_and_rotate() -> None:
    order: list[str] = []

    class Probe:
        def read(self) -> float:
            order.append("probe")
            return 1e9

    def contender(name: str) -> Callable[[int], None]:
        return lambda copy: order.append(f"{name}{copy}")

    entries = [Entry(contender("a"), 0), Entry(contender("b"), 0)]
    probe: Any = Probe()
    timings = interleave(probe, entries, copies=100_000, read_bytes=1000, rounds=3)
    rounds = " ".join(order).split("probe")[1:]
    assert len(rounds) == 3
    for text in rounds:
        names = text.split()
        copies = [int(name[1:]) for name in names]
        assert copies == list(range(len(names)))  # from the first copy on, none twice
        assert names[0].startswith("a")
        assert names[-1].startswith("b")
    assert [len(timing.samples) for timing in timings] == [3, 3]


def test_medians_are_over_pairs() -> None:
    pairs = ((1e-6, 1e9), (2e-6, 2e9), (4e-6, 4e9))
    timing = Timing(1000, tuple(Sample(*pair) for pair in pairs))
    assert timing.seconds == 2e-6
    assert timing.read_bandwidth == 2e9
    assert timing.fraction_of_read == pytest.approx(0.25)


def test_the_table_rounds_what_the_json_says() -> None:
    timing = Timing(1000, (Sample(22.0496e-6, 1e9),))
    assert timing.us == 22.05  # of which the table shows 22.1, and of the seconds 22.0


@pytest.mark.parametrize("block_bytes", [0, 256, 4096, 32768])
@pytest.mark.parametrize("threads", [1, 2, 5])
def test_the_probe_reads(threads: int, block_bytes: int) -> None:
    memory = np.zeros(4 * 2**20 + 4096, np.uint8)
    start = -memory.ctypes.data % 4096
    memory = memory[start : start + 4 * 2**20]
    probe = calibrate(memory, threads, block_bytes)
    assert probe.threads <= threads
    assert probe.kind == (f"blocks of {block_bytes}" if block_bytes else "linear")
    assert probe.read() > 1e8
    order = np.concatenate(probe._parts)
    count = memory.nbytes // (block_bytes or 4096)
    assert len(set(order)) == len(order) == count // probe.threads * probe.threads
    assert (sorted(order) == list(order)) == (block_bytes == 0)


def test_blocks_of_odd_sizes_are_read_from_end_to_end() -> None:
    memory = np.zeros(2**20 + 64, np.uint8)
    memory = memory[-memory.ctypes.data % 64 :]
    assert calibrate(memory, 1, 2080).kind == "linear"


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--preset", "nope"], "preset is 'nope'; there are "),
        (["--shape", "1,2"], "shape '1,2' has 2 numbers"),
        (["--dtype", "int8"], "dtype is 'int8'; it must be float32, float16 or bfloat16"),
        (["--threads", "0"], "threads is '0'; it must be numbers from 1 to 1024"),
        (["--threads", "1,x"], "threads is '1,x'; it must be numbers from 1 to 1024"),
        (["--page-size", "-1"], "page-size is -1; it must be 0 or more"),
        (["--device", "tpu"], "device is 'tpu'; bench measures cpu and cuda"),
        (["--plot", "a.pdf"], "plot is 'a.pdf'; its name must end in .svg or .png"),
        (["--json", "no/such/folder"], "no/such/folder cannot be written: no/such is no folder"),
        (["--shape", "9999,8,8,256,1000k"], "case 9999,8,8,256,1024000 needs "),
    ],
)
def test_refusals_are_one_sentence_before_anything_is_measured(
    options: list[str], sentence: str, flashdec_command: Callable[..., Any]
) -> None:
    ran = flashdec_command("bench", *options)
    assert (ran.status, ran.out) == (2, "")
    assert ran.err.startswith(f"flashdec bench: {sentence}")
    assert ran.err.count("\n") == 1


def test_a_plot_without_matplotlib_is_refused(
    flashdec_command: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plot.importlib.util, "find_spec", lambda name: None)
    ran = flashdec_command("bench", *_SMALL, "--plot", "a.svg")
    assert ran.status == 2
    assert "`pip install matplotlib` brings it" in ran.err


@pytest.mark.usefixtures("fast_bench")
@pytest.mark.parametrize("suffix", ["svg", "png"])
def test_a_plot_is_drawn(suffix: str, flashdec_command: Callable[..., Any], tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    file = tmp_path / f"bench.{suffix}"
    assert flashdec_command("bench", *_SMALL, "--plot", str(file)).status == 0
    assert file.stat().st_size > 1000


def test_overhead_is_measured_in_three_variants(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "numpy" in overhead.overhead_libraries()
    for library in overhead.overhead_libraries():
        cost = overhead.measure_overhead(library, blocks=5)
        assert 0 < cost.bare < cost.swap
        assert cost.run_extra == pytest.approx(cost.run - cost.bare)


def test_the_overhead_table(
    flashdec_command: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(overhead, "_BLOCK", 3)
    ran = flashdec_command("bench", "--overhead")
    assert ran.status == 0
    assert "numpy" in ran.out
    assert "beyond the bare call; the goal for plan.run is 2 µs at most" in ran.out


def test_the_machine_is_described() -> None:
    here = machine()
    assert here.cpu
    assert here.processors >= 1
    assert here.rotation_bytes >= max(4 * here.l3_bytes, 512 * 2**20)
    assert {"flashdec", "python", "numpy"} <= set(versions("no-such-distribution"))
