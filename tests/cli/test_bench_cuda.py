"""The harness of ``flashdec bench`` on a GPU that is only pretended (`pretended_gpu`)."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from itertools import chain, pairwise
from pathlib import Path
from typing import Any

import pytest
from pretended_gpu import PretendedGpu, PretendedReader, Replayed

from flashdec.bench.cuda import overhead, reader
from flashdec.bench.cuda.contenders import PEERS, selected
from flashdec.bench.cuda.exact import check_points, error_over_bound
from flashdec.bench.cuda.goals import invariant_goal_us
from flashdec.bench.cuda.gpu import Gpu
from flashdec.bench.cuda.lines import Line
from flashdec.bench.cuda.measure import ROUNDS, Measurer
from flashdec.bench.cuda.prepared import Prepared
from flashdec.bench.cuda.results import LineResult
from flashdec.bench.cuda.scene import Pool, Scene, make_scene, pool_bytes
from flashdec.bench.shapes import parse_case
from flashdec.cli import bench_cuda
from flashdec.dtypes import DType

torch = pytest.importorskip("torch")

DENSE = Line(parse_case("2,6,2,64,100"))
PAGED = Line(parse_case("3,4,2,16,100"), DType.FLOAT16, 8, lengths=(100, 1, 17), rule="paged")


def on(gpu: Gpu, line: Line) -> Scene:
    return make_scene(gpu, Pool(gpu, pool_bytes([line])), line)


def nothing(name: str) -> None:
    pass


def test_copies_lie_apart_in_the_pool(gpu: Gpu) -> None:
    found = on(gpu, DENSE)
    assert found.copies == -(-(2**19) // DENSE.kv_bytes)
    starts = [each.data_ptr() for pair in zip(found.k, found.v, strict=True) for each in pair]
    size = 2 * 100 * 2 * 64 * 2
    assert starts == sorted(starts)
    assert min(b - a for a, b in pairwise(starts)) >= size
    assert found.linear_bytes == starts[1] - starts[0] + size
    assert not torch.equal(found.k[0], found.v[0])
    assert found.k[0].float().std() == pytest.approx(1, abs=0.05)


def test_pages_are_a_permutation_of_what_lengths_need(gpu: Gpu) -> None:
    found = on(gpu, PAGED)
    assert found.page_table.shape == (3, 13)
    assert found.k[0].shape == (13 + 1 + 3, 8, 2, 16)
    assert found.k[0].dtype is torch.float16
    live = [found.page_table[b, :n].tolist() for b, n in enumerate(PAGED.pages)]
    together = list(chain.from_iterable(live))
    assert together == found.page_ids.tolist()
    assert sorted(together) == list(range(17))
    assert found.kv_len.tolist() == [100, 1, 17]


def test_the_pool_is_filled_anew_for_another_type(gpu: Gpu) -> None:
    pool = Pool(gpu, 2**12)
    for dtype in (DType.BFLOAT16, DType.FLOAT16, DType.FLOAT32):
        pool.fill(dtype)
        values = pool.memory.view(gpu.element(dtype)).float()
        assert values.std() == pytest.approx(1, abs=0.2)


@pytest.mark.parametrize("line", [DENSE, PAGED], ids=str)
@pytest.mark.parametrize("variant", ["default", "kv-len", "two-launches", "invariant"])
def test_flashdec_is_within_the_bound(gpu: Gpu, line: Line, variant: str) -> None:
    found = on(gpu, line)
    (contender,) = selected([variant], [])
    prepared = contender.prepare(found)
    for copy in (0, found.copies - 1):
        o = prepared.run(copy)
        assert error_over_bound(found, o, check_points(found, copy)) <= 1
    assert error_over_bound(found, o + 0.1, check_points(found, copy)) > 1
    assert error_over_bound(found, o * float("nan"), check_points(found, copy)) == float("inf")
    assert "cpu_" in prepared.note


def test_torch_attention_computes_the_same(gpu: Gpu, monkeypatch: pytest.MonkeyPatch) -> None:
    attention = pytest.importorskip("torch.nn.attention")
    monkeypatch.setattr(attention, "sdpa_kernel", lambda backend: nullcontext())
    found = on(gpu, DENSE)
    for name in ("cudnn", "flash"):
        o = PEERS[name].prepare(found).run(0)
        assert error_over_bound(found, o, check_points(found, 0)) < 200


def broken(scene: Scene) -> Prepared:
    raise RuntimeError("no kernel\nand a hint")


def wrong(scene: Scene) -> Prepared:
    return Prepared(lambda copy: torch.full_like(scene.q, float("nan")))


def test_a_line_survives_what_fails(gpu: Gpu, monkeypatch: pytest.MonkeyPatch) -> None:
    known = PEERS["fa3"]
    for name, prepare in (("fa3", broken), ("cudnn", wrong)):
        peer = replace(known, name=name, prepare=prepare, missing=lambda: "")
        monkeypatch.setitem(PEERS, name, peer)
    monkeypatch.setitem(PEERS, "xqa", replace(PEERS["xqa"], missing=lambda: "not installed"))
    measurer = Measurer(gpu, Pool(gpu, pool_bytes([DENSE, PAGED])))
    chosen = selected(["default", "kv-len"], ["fa3", "cudnn", "xqa"])
    dense, paged = (measurer.measure(line, chosen, nothing) for line in (DENSE, PAGED))
    assert [row.name for row in dense.rows] == [
        "read",
        "flashdec",
        "flashdec kv_len",
        "fa3",
        "cudnn",
    ]
    rows = {row.name: row for row in dense.rows}
    assert rows["read"].us == pytest.approx(10)
    assert len(rows["flashdec"].samples_us) == ROUNDS
    assert rows["flashdec"].goal_us == pytest.approx(10 * 1.005 + 2.8)
    assert rows["flashdec kv_len"].goal_us == pytest.approx(10 * 1.005 + 2.8 + 0.7)
    assert rows["flashdec"].within_goal is False
    assert rows["fa3"].failure == "RuntimeError: no kernel"
    assert rows["cudnn"].error == float("inf")
    assert rows["cudnn"].goal_us is None
    assert dense.left_out == {"XQA": "not installed"}
    assert dense.fraction_of_read(rows["flashdec"]) == pytest.approx(0.5)
    assert [row.name for row in paged.rows][:3] == ["read", "read_pages", "flashdec"]
    assert "flashdec kv_len" in paged.left_out


def test_l2_is_cleared_before_every_sample(gpu: Gpu, monkeypatch: pytest.MonkeyPatch) -> None:
    happened: list[str] = []
    monkeypatch.setattr(Measurer, "_clear_l2", lambda self: happened.append("clear"))
    seconds = Replayed.seconds

    def recorded(self: Replayed) -> float:
        happened.append("sample")
        return seconds(self)

    monkeypatch.setattr(Replayed, "seconds", recorded)
    measurer = Measurer(gpu, Pool(gpu, pool_bytes([DENSE])))
    found = measurer.measure(DENSE, selected(["default", "kv-len"], []), nothing)
    assert len(found.rows) == 3
    assert happened == ["clear", "sample"] * (3 * ROUNDS)


def test_l2_is_cleared_where_its_size_is_unknown(gpu: Gpu) -> None:
    assert gpu.cleared_bytes == 4 * 64
    assert replace(gpu, l2_bytes=0).cleared_bytes == 4 * 64 * 2**20


def test_a_read_takes_the_fastest_grid_with_l2_cleared(
    gpu: Gpu, monkeypatch: pytest.MonkeyPatch
) -> None:
    happened: list[Any] = []
    seconds = Replayed.seconds

    def recorded(self: Replayed) -> float:
        happened.append("sample")
        return seconds(self)

    def capture(gpu: Gpu, run: Callable[[int], Any], copies: int) -> Replayed:
        happened.append("grid")
        return Replayed(run, copies, 5.0 + abs(happened.count("grid") - 3))

    monkeypatch.setattr(Replayed, "seconds", recorded)
    monkeypatch.setattr(reader, "capture", capture)
    read = PretendedReader(gpu).linear
    found, note = reader.fastest(on(gpu, DENSE), read, lambda: happened.append("clear"))
    assert happened == (["grid"] + ["clear", "sample"] * 3) * len(reader.GRIDS)
    assert found.seconds() == pytest.approx(5e-6)
    third = reader.GRIDS[2]
    assert note == f"{third.blocks} x {third.threads} threads on an SM"


def test_batch_invariant_mode_has_its_goal_beside_the_default(gpu: Gpu) -> None:
    measurer = Measurer(gpu, Pool(gpu, pool_bytes([DENSE])))
    found = measurer.measure(DENSE, selected(["default", "invariant"], []), nothing)
    rows = {row.name: row for row in found.rows}
    assert rows["flashdec"].us == pytest.approx(20)
    assert rows["flashdec invariant"].goal_us == pytest.approx(22.5)
    assert rows["flashdec invariant"].within_goal is True
    assert invariant_goal_us(100.0) == pytest.approx(106.0)
    alone = measurer.measure(DENSE, selected(["invariant"], []), nothing)
    assert alone.rows[-1].goal_us is None


def test_a_line_that_cannot_be_laid_out_is_a_failure(gpu: Gpu) -> None:
    measurer = Measurer(gpu, Pool(gpu, 256))
    found = measurer.measure(DENSE, selected(["default"], []), nothing)
    assert found.rows == ()
    assert found.failure


def test_the_command_measures_and_writes(
    gpu: Gpu,
    flashdec_command: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setattr(bench_cuda, "open_gpu", lambda: gpu)
    file = tmp_path / "cuda.json"
    shapes = ("--shape", "1,4,2,64,200", "--shape", "2,4,2,64,96")
    options = ("bench", "--device", "cuda", "--compare", *shapes, "--json", str(file))
    ran = flashdec_command(*options)
    assert ran.status == 0, ran.err
    assert max(map(len, ran.out.splitlines())) <= 190
    assert "flashdec kv_len: " in ran.out
    document = json.loads(file.read_text())
    assert [each["line"] for each in document["lines"]] == ["1,4,2,64,200", "2,4,2,64,96"]
    names = [row["contender"] for row in document["lines"][0]["rows"]]
    assert names[:3] == ["read", "flashdec", "flashdec kv_len"]
    assert json.loads(flashdec_command(*options[:-1], "-").out)["schema"] == document["schema"]


def test_a_plot_of_lines_is_drawn(
    gpu: Gpu,
    flashdec_command: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    pytest.importorskip("matplotlib")
    monkeypatch.setattr(bench_cuda, "open_gpu", lambda: gpu)
    file = tmp_path / "cuda.svg"
    shape = ("--shape", "1,4,2,64,200")
    ran = flashdec_command("bench", "--device", "cuda", *shape, "--plot", str(file))
    assert ran.status == 0, ran.err
    assert file.stat().st_size > 1000


def test_overheads_are_measured_with_one_launch_and_two(
    gpu: Gpu, flashdec_command: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench_cuda, "open_gpu", lambda: gpu)
    monkeypatch.setattr(overhead, "_BLOCK", 1)
    even = Line(parse_case("1,4,2,16,64"), page_size=16)
    monkeypatch.setattr(overhead, "_LINE", even)
    for cost in overhead.measure_cuda_overhead(gpu, blocks=3):
        assert cost.empty > 0
        assert cost.bound > 0
        assert cost.run > 0
        assert cost.kernel.startswith("cpu_")
    ran = flashdec_command("bench", "--overhead", "--device", "cuda")
    assert ran.status == 0, ran.err
    assert "empty call" in ran.out
    assert "bound" in ran.out
    assert "flashdec 2 launches" in ran.out


def test_a_lost_gpu_ends_the_lines(
    gpu: Gpu, flashdec_command: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def lose(*arguments: Any) -> LineResult:
        monkeypatch.setattr(PretendedGpu, "is_lost", lambda self: True)
        return LineResult(DENSE, 1, failure="RuntimeError: CUDA error")

    monkeypatch.setattr(bench_cuda, "open_gpu", lambda: gpu)
    monkeypatch.setattr(Measurer, "measure", lose)
    ran = flashdec_command("bench", "--preset", "mqa", "--device", "cuda")
    assert ran.out.count("failed: RuntimeError: CUDA error") == 1
    assert "a launch broke the GPU's context" in ran.out
