"""Each field of the preference changes what select chooses."""

from __future__ import annotations

from typing import Any

import pytest
from planner import (
    BATCH_INVARIANT,
    BF16,
    CPU,
    CUDA,
    F16,
    NO_SM90A,
    NO_WORKSPACE,
    Machine,
    RefusedError,
    plan,
    why_not,
)

GPU = Machine()
NO_GPU = Machine(arch=0, sm_count=0, smem=0)
PREFERENCE_UNMET = 21
UNSUPPORTED = 20


def test_a_grid_that_shares_units_has_its_slots_or_none(core: Any) -> None:
    free = plan(core, GPU, {}).facts
    assert plan(core, GPU, {}, max_workspace_bytes=free.workspace_bytes).facts.max_splits > 1
    less = plan(core, GPU, {}, max_workspace_bytes=free.workspace_bytes - 1).facts
    assert (less.max_splits, less.workspace_bytes) == (1, 0)


@pytest.mark.parametrize("backend", [CPU, CUDA])
@pytest.mark.parametrize("flags", [0, BATCH_INVARIANT])
def test_max_workspace_bytes(core: Any, backend: int, flags: int) -> None:
    simple = {"alignment": 2}  # a kernel whose splits the plan decides
    free = plan(core, GPU, simple, prefer_backend=backend, flags=flags).facts
    assert free.max_splits > 2

    def within(limit: int) -> Any:
        return plan(
            core, GPU, simple, prefer_backend=backend, flags=flags, max_workspace_bytes=limit
        ).facts

    exact = within(free.workspace_bytes)
    assert (exact.max_splits, exact.split_len) == (free.max_splits, free.split_len)
    less = within(free.workspace_bytes - 1)
    assert 1 < less.max_splits < free.max_splits
    assert 0 < less.workspace_bytes < free.workspace_bytes
    none = within(1)
    assert (none.max_splits, none.workspace_bytes) == (1, 0)
    previous = 1
    for limit in range(1, free.workspace_bytes, max(1, free.workspace_bytes // 50)):
        facts = within(limit)
        assert facts.workspace_bytes <= limit
        assert facts.max_splits >= previous  # more room is never used worse
        previous = facts.max_splits


@pytest.mark.parametrize("backend", [CPU, CUDA])
@pytest.mark.parametrize("limit", [0, 2**40])
def test_no_workspace(core: Any, backend: int, limit: int) -> None:
    wishes = {"prefer_backend": backend, "max_workspace_bytes": limit}
    assert plan(core, GPU, {}, **wishes).facts.max_splits > 1
    facts = plan(core, GPU, {}, flags=NO_WORKSPACE, **wishes).facts
    assert (facts.max_splits, facts.workspace_bytes) == (1, 0)


def test_allow_sm90a(core: Any) -> None:
    assert plan(core, Machine(arch=90), {}).name == "cuda_sm90_bf16_d128_h8"
    assert plan(core, Machine(arch=90), {}, flags=NO_SM90A).name == "cuda_sm80_bf16_d128_h8"
    row = {"arch": 90, "needs_sm90a": 1}
    why_not(core, row, Machine(arch=90), {})
    why_not(core, {"arch": 90}, Machine(arch=90), {}, flags=NO_SM90A)
    with pytest.raises(RefusedError) as caught:
        why_not(core, row, Machine(arch=90), {}, flags=NO_SM90A)
    assert caught.value.code == PREFERENCE_UNMET
    assert "made_up" in caught.value.sentence
    assert "sm_90a" in caught.value.sentence


@pytest.mark.parametrize("arch", [80, 89, 100, 103, 120])
def test_a_kernel_for_sm90a_runs_there_alone(core: Any, arch: int) -> None:
    """Code for an 'a' target has no successor that runs it."""
    with pytest.raises(RefusedError) as caught:
        why_not(core, {"arch": 90, "needs_sm90a": 1}, Machine(arch=arch), {})
    assert caught.value.code == UNSUPPORTED


def test_prefer_backend(core: Any) -> None:
    assert plan(core, GPU, {}).facts.backend == CUDA
    assert plan(core, GPU, {}, prefer_backend=CUDA).facts.backend == CUDA
    assert plan(core, GPU, {}, prefer_backend=CPU).facts.backend == CPU
    assert plan(core, NO_GPU, {}).facts.backend == CPU
    with pytest.raises(RefusedError):
        plan(core, NO_GPU, {}, prefer_backend=CUDA)


def test_batch_invariant(core: Any) -> None:
    """On a GPU the cuts are free by default, and fixed, as on the CPU with the flag, with it."""
    free = plan(core, GPU, {})
    assert free.facts.split_len == 0
    assert not free.batch_invariant
    cuts = set()
    for batch in (1, 2, 7, 64, 1000):
        for sm_count in (80, 132):
            for max_kv_len in (1000, 100_000):
                desc = {"batch": batch, "max_kv_len": max_kv_len}
                planned = plan(core, Machine(sm_count=sm_count), desc, flags=BATCH_INVARIANT)
                assert planned.batch_invariant
                cuts.add(planned.facts.split_len)
    assert plan(core, GPU, {}, prefer_backend=CPU).batch_invariant  # without being asked
    cpu = plan(core, GPU, {}, prefer_backend=CPU, flags=BATCH_INVARIANT)
    assert cuts == {cpu.facts.split_len}


@pytest.mark.parametrize("split_len", [0, 4096])
def test_the_batch_does_not_decide_an_invariant_kernel(core: Any, split_len: int) -> None:
    """Fixed splits are few, where tiles would be more than 32 bits count."""
    long = {"q_heads": 32, "kv_heads": 8, "max_kv_len": 2**20, "head_dim": 256, "page_size": 64}
    kernels = {
        plan(core, GPU, {**long, "batch": batch, "num_pages": 1}, flags=BATCH_INVARIANT,
             split_len=split_len).facts.kernel
        for batch in (1, 2**12 - 1, 2**12, 2**16)
    }  # fmt: skip
    assert len(kernels) == 1
    free = {plan(core, GPU, {**long, "batch": batch, "num_pages": 1}).facts.kernel
            for batch in (1, 2**12)}  # fmt: skip
    assert len(free) == 2  # else the sizes above would be no test


@pytest.mark.parametrize("backend", [CPU, CUDA])
@pytest.mark.parametrize(("group", "split_len"), [(1, 512), (8, 512), (9, 1024), (40, 1024)])
def test_larger_groups_have_longer_splits(
    core: Any, backend: int, group: int, split_len: int
) -> None:
    """What the end of a split costs grows with the group, what it reads does not."""
    desc = {"q_heads": 2 * group, "kv_heads": 2}
    planned = plan(core, GPU, desc, prefer_backend=backend, flags=BATCH_INVARIANT)
    assert planned.facts.split_len == split_len


@pytest.mark.parametrize("backend", [CPU, CUDA])
@pytest.mark.parametrize("split_len", [1, 31, 32, 33, 100, 512, 8191, 8192, 2**31 - 1])
def test_split_len(core: Any, backend: int, split_len: int) -> None:
    planned = plan(core, GPU, {}, prefer_backend=backend, split_len=split_len)
    tile = planned.kernel.tile
    assert planned.facts.split_len == -(-split_len // tile) * tile
    assert planned.facts.max_splits == -(-8192 // planned.facts.split_len)
    assert planned.batch_invariant


def test_split_len_is_never_given_up_for_the_workspace(core: Any) -> None:
    need = plan(core, GPU, {}, split_len=512).facts.workspace_bytes
    limited = plan(core, GPU, {}, split_len=512, max_workspace_bytes=need)
    assert limited.facts.split_len == 512
    with pytest.raises(RefusedError) as caught:
        plan(core, GPU, {}, split_len=512, max_workspace_bytes=need - 1)
    assert caught.value.code == PREFERENCE_UNMET
    for word in ("split_len 512", f"{need} bytes", f"max_workspace_bytes is {need - 1}"):
        assert word in caught.value.sentence


def test_num_threads(core: Any) -> None:
    assert plan(core, Machine(threads=5), {}, prefer_backend=CPU).facts.num_threads == 5
    chosen = plan(core, Machine(threads=5), {}, prefer_backend=CPU, num_threads=3)
    assert chosen.facts.num_threads == 3
    assert plan(core, GPU, {}, prefer_backend=CUDA, num_threads=3).facts.num_threads == 0


# Reasons why a kernel is passed over, each on a row that is made up.
REASONS: dict[str, tuple[dict[str, Any], dict[str, Any], tuple[str, ...]]] = {
    "shared memory": ({"smem": 228 * 1024}, {}, ("made_up", str(228 * 1024), str(227 * 1024))),
    "arch": ({"arch": 100}, {}, ("9.0", "10.0")),
    "head_dim": ({"max_head_dim": 64}, {}, ("head_dim is 128", "64")),
    "head_dim_v": ({"max_head_dim": 128}, {"head_dim_v": 136}, ("head_dim_v is 136", "128")),
    "alignment": ({"alignment": 16}, {"alignment": 8}, ("alignment is 8", "16")),
    "paged only": ({"layout": 2}, {}, ("made_up", "layout")),
    "strided only": ({"layout": 1}, {"page_size": 1, "num_pages": 1}, ("made_up", "layout")),
    "group": ({"max_group": 3}, {}, ("group is 4", "3")),
    "head_dim's multiple": ({"row_multiple": 48}, {}, ("head_dim is 128", "48")),
    "head_dim_v's multiple": ({"row_multiple": 64}, {"head_dim_v": 96}, ("head_dim_v is 96", "64")),
    "page size's multiple": (
        {"page_multiple": 8},
        {"page_size": 12, "num_pages": 1},
        ("page_size is 12", "8"),
    ),
    "tiles, which it counts in 32 bits": (
        {"persistent": 1, "tile": 32, "heads": 8},
        {"batch": 2**14, "kv_heads": 8, "max_kv_len": 2**19},
        ("max_kv_len is 524288", "16384 sequences", "8 key/value heads", str((2**14 - 2) * 32)),
    ),
    "dtype": ({"element": F16}, {}, ()),
}


@pytest.mark.parametrize(("row", "desc", "words"), REASONS.values(), ids=REASONS)
def test_a_kernel_is_passed_over_for(
    core: Any, row: dict[str, Any], desc: dict[str, Any], words: tuple[str, ...]
) -> None:
    why_not(core, {"element": BF16}, GPU, desc)
    with pytest.raises(RefusedError) as caught:
        why_not(core, row, GPU, desc)
    assert caught.value.code == UNSUPPORTED
    for word in words:
        assert word in caught.value.sentence


@pytest.mark.parametrize(("head_dim", "head_dim_v", "alignment"), [
    (128, 0, 16), (8, 0, 16), (4, 0, 8), (12, 0, 8), (2, 0, 4), (1, 0, 2), (128, 3, 2),
    (128, 4, 8), (3, 128, 2),
])  # fmt: skip
def test_default_alignment_is_what_the_rows_allow(
    core: Any, head_dim: int, head_dim_v: int, alignment: int
) -> None:
    """16-bit elements: seen by a kernel that needs exactly that much, and one that needs more."""
    desc = {"head_dim": head_dim, "head_dim_v": head_dim_v}
    why_not(core, {"alignment": alignment}, GPU, desc)
    with pytest.raises(RefusedError, match=f"alignment is {alignment} "):
        why_not(core, {"alignment": alignment * 2}, GPU, desc)
