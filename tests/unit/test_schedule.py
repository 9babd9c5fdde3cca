"""Every legal problem on every fake device gets a kernel that fits and a right schedule."""

from __future__ import annotations

import itertools
import random
from typing import Any

import pytest
from planner import (
    BATCH_INVARIANT,
    BEST_ISA,
    BF16,
    CPU,
    CUDA,
    F16,
    F32,
    GENERIC,
    ISAS,
    NO_WORKSPACE,
    Machine,
    Planned,
    RefusedError,
    plan,
)

ARCHES = (80, 86, 89, 90, 100, 103, 120)
MULTIPROCESSORS = (80, 84, 108, 114, 132)
SHARED_MEMORY = (99, 163, 227)  # KB in a block
NO_GPU = Machine(arch=0, sm_count=0, smem=0)
PROBLEMS = 400


def random_problem(seed: int) -> dict[str, Any]:
    """Sizes over all magnitudes; the seed recreates it."""
    draw = random.Random(seed)
    kv_heads = draw.choice((1, 2, 3, 8, 16, 40))
    dtype = draw.choice((F32, F16, BF16))
    paged = draw.random() < 0.5
    head_dim = draw.randint(1, 256)
    return {
        "batch": int(2 ** draw.uniform(0, 14)),
        "kv_heads": kv_heads,
        "q_heads": kv_heads * draw.choice((1, 2, 3, 5, 7, 8, 12, 16, 64)),
        "max_kv_len": int(2 ** draw.uniform(0, 24)),
        "head_dim": head_dim,
        "head_dim_v": draw.choice((0, head_dim, draw.randint(1, 256))),
        "page_size": draw.randint(1, 256) if paged else 0,
        "num_pages": draw.randint(1, 2**20) if paged else 0,
        "q_dtype": dtype,
        "kv_dtype": dtype,
    }


def random_preference(seed: int) -> dict[str, Any]:
    draw = random.Random(seed)
    return draw.choice(
        [
            {},
            {"flags": BATCH_INVARIANT},
            {"flags": NO_WORKSPACE},
            {"split_len": draw.randint(1, 5000)},
            {"max_workspace_bytes": int(2 ** draw.uniform(0, 40))},
            {"flags": BATCH_INVARIANT, "max_workspace_bytes": int(2 ** draw.uniform(10, 30))},
        ]
    )


def ceil_div(a: int, b: int) -> int:
    return -(-a // b)


def deals_itself(planned: Planned) -> bool:
    """Whether the grid's blocks share units between them, rather than in splits of the plan."""
    return bool(planned.kernel.persistent)


def most_nodes(planned: Planned, units: int, sm_count: int) -> int:
    """Fixed splits are folded until 32 a block are left, or as far as a block may."""
    splits = units * planned.facts.max_splits
    rounds = planned.facts.split_len / planned.kernel.tile / planned.kernel.warps
    levels = planned.kernel.levels if rounds == int(rounds) else 0
    return min(splits, max(32 * sm_count, splits >> levels) + units)


def expected_workspace(desc: dict[str, Any], planned: Planned, sm_count: int) -> int:
    """(m, l) and o of every part, float32, each buffer in whole 256 bytes."""
    if planned.facts.max_splits == 1:
        return 0
    row = desc["head_dim_v"] or desc["head_dim"]
    if deals_itself(planned):  # (m, l) once for four columns
        group = desc["q_heads"] // desc["kv_heads"]
        units = desc["batch"] * desc["kv_heads"] * ceil_div(group, planned.kernel.heads)
        heads = min(group, planned.kernel.heads)
        fixed = planned.facts.split_len != 0  # else two slots a block
        slots = most_nodes(planned, units, sm_count) if fixed else 2 * sm_count
        quads = slots * heads * ceil_div(row, 4)
        buffers = [quads * 16, quads * 8, 4 * (2 + 8 * sm_count)]  # and who has come
    else:
        parts = desc["batch"] * desc["q_heads"] * planned.facts.max_splits
        buffers = [parts * 8, parts * 4 * row]
    return sum(ceil_div(size, 256) * 256 for size in buffers)


def check_lengths(core: Any, desc: dict[str, Any], facts: Any) -> None:
    """At every kind of length the splits cover the tokens and are no more than planned."""
    most, tile = desc["max_kv_len"], facts.tile
    around = {n * tile + d for n in (1, 2, 3, most // tile // 2, most // tile) for d in (-1, 0, 1)}
    for length in {1, 2, most, *around}:
        if not 0 < length <= most:
            continue
        of = facts.max_splits, facts.split_len, tile, length
        each, live = core.unit_split_length(*of), core.unit_live_splits(*of)
        assert each > 0
        assert each % tile == 0
        assert (live - 1) * each < length <= live * each
        assert 1 <= live <= facts.max_splits
    nothing = facts.max_splits, facts.split_len, tile, 0
    assert core.unit_split_length(*nothing) > 0
    assert core.unit_live_splits(*nothing) == 0


def check_schedule(core: Any, desc: dict[str, Any], planned: Planned, sm_count: int = 0) -> None:
    facts = planned.facts
    assert facts.tile == planned.kernel.tile > 0
    assert facts.max_splits >= 1
    # What deals as lengths come may leave a twentieth of the multiprocessors idle.
    fewest = sm_count if facts.split_len else ceil_div(19 * sm_count, 20)
    assert facts.workspace_bytes in {
        expected_workspace(desc, planned, blocks) for blocks in range(fewest, sm_count + 1)
    }
    assert facts.workspace_align == 256
    if facts.split_len:
        assert facts.split_len % facts.tile == 0
        assert facts.max_splits == ceil_div(desc["max_kv_len"], facts.split_len)
    if not deals_itself(planned) or facts.split_len:  # else the lengths decide when it runs
        check_lengths(core, desc, facts)


def check_one_wave(desc: dict[str, Any], planned: Planned, machine: Machine) -> None:
    """Even splits fill the device at most once."""
    row = planned.kernel
    group = desc["q_heads"] // desc["kv_heads"]
    units = desc["batch"] * desc["kv_heads"] * ceil_div(group, row.heads)
    slots = machine.sm_count * row.blocks_per_sm
    splits = planned.facts.max_splits
    if not deals_itself(planned):
        assert splits == 1 or splits * units <= slots
    elif desc["batch"] == 1:  # the length is even; what is left after whole rounds is cut
        assert splits == 1 or splits * (units % slots) <= slots
    else:
        assert splits <= slots


@pytest.mark.parametrize(("sm_count", "smem"), [*itertools.product(MULTIPROCESSORS, SHARED_MEMORY)])
def test_every_problem_gets_a_kernel_that_fits(core: Any, sm_count: int, smem: int) -> None:
    for seed in range(PROBLEMS):
        machine = Machine(arch=ARCHES[seed % len(ARCHES)], sm_count=sm_count, smem=smem * 1024)
        desc, preference = random_problem(seed), random_preference(seed)
        try:
            planned = plan(core, machine, desc, prefer_backend=CUDA, **preference)
            assert planned.kernel.smem <= machine.smem
            assert planned.kernel.arch <= machine.arch
            assert planned.kernel.element == desc["q_dtype"]
            assert planned.facts.backend == CUDA
            assert planned.facts.device == 0
            two = planned.facts.max_splits > 1 and not deals_itself(planned)
            assert planned.facts.launches == (2 if two else 1)
            check_schedule(core, desc, planned, sm_count)
            if not preference:
                assert planned.facts.split_len == 0
                check_one_wave(desc, planned, machine)
        except AssertionError as error:
            raise AssertionError(f"seed {seed}: {desc} {preference}: {error}") from error


@pytest.mark.parametrize("isa", ISAS.values(), ids=ISAS)
def test_every_problem_gets_a_cpu_kernel(core: Any, isa: int) -> None:
    for seed in range(PROBLEMS):
        desc, preference = random_problem(seed), random_preference(seed)
        machine = Machine(arch=0, sm_count=0, smem=0, isa=isa, threads=1 + seed % 64)
        planned = plan(core, machine, desc, **preference)
        assert planned.facts.backend == CPU
        assert planned.facts.device == -1
        assert planned.facts.launches == 0
        check_schedule(core, desc, planned)


def test_a_small_batch_fills_the_device(core: Any) -> None:
    for sm_count in MULTIPROCESSORS:
        planned = plan(core, Machine(sm_count=sm_count), {"max_kv_len": 65536})
        slots = sm_count * planned.kernel.blocks_per_sm
        units = 8 * ceil_div(4, planned.kernel.heads)
        assert planned.facts.max_splits == slots // units > 1


def test_a_large_batch_is_not_split(core: Any) -> None:
    planned = plan(core, Machine(), {"batch": 1024, "q_dtype": F32, "kv_dtype": F32})
    assert (planned.facts.max_splits, planned.facts.workspace_bytes) == (1, 0)


def test_cpu_splits_do_not_depend_on_the_machine(core: Any) -> None:
    """Bits may not depend on threads, nor on the batch: the tokens are cut in the same places."""
    machines = [
        Machine(isa=isa, threads=n) for isa in (GENERIC, BEST_ISA - 1, BEST_ISA) for n in (1, 7, 64)
    ]
    cuts = {
        plan(core, machine, {"batch": batch}, prefer_backend=CPU).facts.split_len
        for machine in machines
        for batch in (1, 3, 100)
    }
    assert len(cuts) == 1
    assert cuts != {0}


@pytest.mark.parametrize(("name", "isa"), ISAS.items(), ids=ISAS)
def test_the_best_instruction_set_is_preferred(core: Any, name: str, isa: int) -> None:
    assert plan(core, Machine(arch=0, isa=isa), {}).name == f"cpu_{name}_bf16"


def test_planning_is_a_pure_function(core: Any) -> None:
    for seed in range(50):
        desc = random_problem(seed)
        assert plan(core, Machine(), desc).content == plan(core, Machine(), desc).content


def test_padding_in_a_plan_is_zero_whatever_was_there(core: Any) -> None:
    contents = set()
    for byte in (0x00, 0x5A, 0xFF):
        core.unit_dirty_stack(byte)
        contents.add(plan(core, Machine(), {}).content)
    assert len(contents) == 1


@pytest.mark.parametrize(("arch", "text"), [(75, "7.5"), (61, "6.1"), (70, "7.0")])
def test_older_devices_are_refused_by_name(core: Any, arch: int, text: str) -> None:
    with pytest.raises(RefusedError) as caught:
        plan(core, Machine(arch=arch), {}, prefer_backend=CUDA)
    assert caught.value.code == 20
    assert text in caught.value.sentence
    assert "8.0" in caught.value.sentence


def test_an_older_device_leaves_the_cpu(core: Any) -> None:
    assert plan(core, Machine(arch=75), {}).facts.backend == CPU


def test_too_little_shared_memory_is_refused(core: Any) -> None:
    with pytest.raises(RefusedError) as caught:
        plan(core, Machine(smem=16 * 1024), {}, prefer_backend=CUDA)
    assert caught.value.code == 20
    assert "16384" in caught.value.sentence


def test_every_kernel_of_the_table_is_chosen_by_some_case(core: Any) -> None:
    machines = [Machine(), Machine(arch=80), *(
        Machine(arch=0, isa=isa, isa_forced=forced)
        for isa in ISAS.values() for forced in (False, True)
    )]  # fmt: skip
    shapes: list[dict[str, Any]] = [
        {"head_dim": 12},
        *(
            {"head_dim": dim, "q_heads": heads}
            for dim in (64, 96, 128, 192, 256)
            for heads in (32, 128)
        ),
    ]
    chosen = {
        plan(core, machine, {**shape, "q_dtype": dtype, "kv_dtype": dtype}).name
        for machine in machines
        for dtype in (F32, F16, BF16)
        for shape in shapes
    }
    table = [core.flashdec_kernel_name(i).decode() for i in range(core.flashdec_kernel_count())]
    assert len(set(table)) == len(table)
    assert chosen == set(table)


@pytest.mark.parametrize(("name", "isa"), ISAS.items(), ids=ISAS)
def test_forced_instruction_set_is_the_one_that_runs(core: Any, name: str, isa: int) -> None:
    machine = Machine(arch=0, isa=isa, isa_forced=True)
    assert plan(core, machine, {}).name == f"cpu_{name}_bf16"
