"""How the tensor-core kernels share their work, by the device's own code on an emulated warp: every
tile is read once, every partial result has a slot of its own, and every result is folded from all
of them."""

from __future__ import annotations

import ctypes
import random
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

import pytest
from planner import BATCH_INVARIANT, Machine, Planned, RefusedError, plan

EVEN, EVEN_ON_DEVICE, SPANS, SPLITS = range(4)
WARPS = 4  # that read, of a block: kWarps of cuda/tensor/shape.h
NEVER_PACED = 2**31 - 1
H100, H200 = 3_352_320_000_000, 4_916_736_000_000  # bytes a second
MOST = 1 << 18  # records of a launch


class Piece(ctypes.Structure):  # PieceRecord of deals.cpp
    _fields_ = [
        (name, ctypes.c_int32)
        for name in ("block", "sequence", "unit", "len", "first", "step", "tiles", "slot")
    ]


class Fold(ctypes.Structure):  # FoldRecord of deals.cpp
    _fields_ = [
        (name, ctypes.c_int32)
        for name in ("block", "sequence", "unit", "index", "slot", "begin", "end")
    ]


class Records(ctypes.Structure):
    _fields_ = [
        ("pieces", ctypes.POINTER(Piece)),
        ("folds", ctypes.POINTER(Fold)),
        ("most_pieces", ctypes.c_int32),
        ("most_folds", ctypes.c_int32),
        ("piece_count", ctypes.c_int32),
        ("fold_count", ctypes.c_int32),
        ("deal", ctypes.c_int32),
        ("grid", ctypes.c_int32),
        ("keeps", ctypes.c_int32),
        ("paced_from", ctypes.c_int32),
        ("looks_every", ctypes.c_int32),
        ("free_lead", ctypes.c_float),
        ("blocks", ctypes.c_int32),
        ("all", ctypes.c_int64),
        ("loads", ctypes.POINTER(ctypes.c_int32)),
    ]


@dataclass
class Unit:
    """What happens to one key/value head (and one block of query heads) of one sequence."""

    pieces: list[Piece] = field(default_factory=list)
    folds: list[Fold] = field(default_factory=list)


@dataclass(frozen=True)
class Run:
    """A problem, and its lengths: a list is on the device, a number is known to the host."""

    desc: dict[str, Any]
    wishes: dict[str, Any]
    lengths: list[int] | int
    machine: Machine

    def units_of_a_sequence(self, planned: Planned) -> int:
        group = self.desc["q_heads"] // self.desc["kv_heads"]
        return int(self.desc["kv_heads"] * -(-group // planned.kernel.heads))

    def quads(self, planned: Planned, unit: int) -> int:
        """Columns of a unit by fours, of all its query heads."""
        group = self.desc["q_heads"] // self.desc["kv_heads"]
        at_once = min(planned.kernel.heads, group)
        blocks = -(-group // planned.kernel.heads)
        heads = min(at_once, group - unit % blocks * at_once)
        return int(heads * self.desc["head_dim"] // 4)

    def length(self, sequence: int) -> int:
        length = self.lengths if isinstance(self.lengths, int) else self.lengths[sequence]
        return length if 0 <= length <= self.desc["max_kv_len"] else -1


def records(core: Any, planned: Planned, run: Run) -> Records:
    """All that a launch would do."""
    pieces, folds = (Piece * MOST)(), (Fold * MOST)()
    out = Records(pieces, folds, MOST, MOST)
    out.loads = (ctypes.c_int32 * (WARPS * run.machine.sm_count))()
    one = run.lengths if isinstance(run.lengths, int) else 0
    lens = (
        None if isinstance(run.lengths, int) else (ctypes.c_int32 * len(run.lengths))(*run.lengths)
    )
    content = (ctypes.c_uint64 * (len(planned.content) // 8)).from_buffer_copy(planned.content)
    code = core.unit_deal(ctypes.byref(content), lens, ctypes.c_int64(one), ctypes.byref(out))
    assert code == 0, core.flashdec_last_error().decode()
    assert out.piece_count <= MOST
    assert out.fold_count <= MOST
    return out


def deal(core: Any, planned: Planned, run: Run) -> tuple[Records, dict[tuple[int, int], Unit]]:
    """What is known of the launch, and every unit of it."""
    out = records(core, planned, run)
    units: dict[tuple[int, int], Unit] = defaultdict(Unit)
    for piece in out.pieces[: out.piece_count]:
        units[piece.sequence, piece.unit].pieces.append(piece)
    for fold in out.folds[: out.fold_count]:
        units[fold.sequence, fold.unit].folds.append(fold)
    return out, units


def slots_of_workspace(planned: Planned, run: Run) -> int:
    """Slots that fit the workspace: four columns of each head are 16 bytes, and 8 of (m, l)."""
    bytes_of_slot = run.quads(planned, 0) * 24
    return int(planned.facts.workspace_bytes // bytes_of_slot)


def check(core: Any, run: Run) -> int:
    """All that must hold for a launch; returns which deal it was."""
    planned = plan(core, run.machine, run.desc, **run.wishes)
    assert planned.kernel.persistent
    out, units = deal(core, planned, run)
    batch = run.desc["batch"]
    per_sequence = run.units_of_a_sequence(planned)
    assert set(units) == {(b, u) for b in range(batch) for u in range(per_sequence)}
    used: set[int] = set()
    for (sequence, unit), found in units.items():
        length = run.length(sequence)
        assert {piece.len for piece in found.pieces} == {length}
        if length <= 0:
            assert len(found.pieces) == 1  # one block writes its outputs
            assert not found.folds
            continue
        tiles = [piece.first + i * piece.step for piece in found.pieces for i in range(piece.tiles)]
        assert sorted(tiles) == list(range(-(-length // planned.kernel.tile)))
        slots = [piece.slot for piece in found.pieces]
        if slots == [-1]:
            assert not found.folds
            continue
        assert min(slots) >= 0
        assert len(set(slots)) == len(slots)
        assert not used & set(slots)
        used |= set(slots)
        check_folds(found.folds, slots, run.quads(planned, unit))
    if used:
        assert max(used) < slots_of_workspace(planned, run)
    check_load(out, units)
    return int(out.deal)


def check_load(out: Records, units: dict[tuple[int, int], Unit]) -> None:
    """What warps say that they have to read, so that they keep in step, is what they read."""
    pieces = [piece for unit in units.values() for piece in unit.pieces]
    tiles = sum(piece.tiles for piece in pieces)
    loads = list(out.loads[: WARPS * out.grid])
    if out.deal in (EVEN, EVEN_ON_DEVICE):
        of_warp: dict[int, int] = defaultdict(int)
        for piece in pieces:
            for warp in range(WARPS):
                of_warp[WARPS * piece.block + warp] += -(-(piece.tiles - warp) // WARPS)
        assert loads == [of_warp[i] for i in range(len(loads))]
        assert out.all == tiles
        assert out.blocks == len({piece.block for piece in pieces})
    elif out.deal == SPLITS:  # as much for each; the last split of a sequence may be shorter
        assert out.all >= tiles
        assert set(loads) == {out.all // (WARPS * out.grid)}
        assert out.blocks == out.grid


def check_folds(folds: list[Fold], slots: list[int], quads: int) -> None:
    """Every column is folded by one block, from every slot, in one order."""
    shares: dict[tuple[int, int], list[Fold]] = defaultdict(list)
    for fold in folds:
        shares[fold.begin, fold.end].append(fold)
    columns = [c for begin, end in shares for c in range(begin, end)]
    assert sorted(columns) == list(range(quads))
    orders = set()
    for (begin, end), of_share in shares.items():
        if begin == end:
            continue
        assert len({fold.block for fold in of_share}) == 1
        assert [fold.index for fold in of_share] == list(range(len(of_share)))
        orders.add(tuple(fold.slot for fold in of_share))
    assert len(orders) == 1
    assert sorted(orders.pop()) == sorted(slots)


def random_run(seed: int) -> Run:
    draw = random.Random(seed)
    kv_heads = draw.choice([1, 2, 3, 8, 12])
    group = draw.choice([1, 2, 4, 5, 8, 9, 16, 20])
    batch = draw.choice([1, 2, 3, 7, 31, 33, 70, 300])
    max_kv_len = int(2 ** draw.uniform(0, 17 if batch < 8 else 13))
    desc = {
        "batch": batch,
        "kv_heads": kv_heads,
        "q_heads": kv_heads * group,
        "max_kv_len": max_kv_len,
        "head_dim": draw.choice([64, 96, 128, 256]),
        "alignment": 16,
    }
    if draw.random() < 0.3:
        pages = -(-max_kv_len // 16) * batch
        desc |= {"page_size": 16, "num_pages": draw.choice([pages, max(1, pages // 2)])}
    wishes: dict[str, Any] = {"prefer_backend": 2}
    if draw.random() < 0.4:
        wishes["flags"] = BATCH_INVARIANT
    elif draw.random() < 0.2:
        wishes["split_len"] = draw.choice([64, 100, 1000])
    one = draw.choice([max_kv_len, draw.randint(1, max_kv_len)])
    some = [draw.choice([0, -1, 1, max_kv_len, draw.randint(0, max_kv_len)]) for _ in range(batch)]
    lengths = draw.choice(
        [one, [one] * batch, some, [max_kv_len] + [min(40, max_kv_len)] * (batch - 1)]
    )
    sm_count = draw.choice([5, 16, 46])
    return Run(desc, wishes, lengths, Machine(sm_count=sm_count))


@pytest.mark.parametrize("chunk", range(8))
def test_random_runs(core: Any, chunk: int) -> None:
    kinds = set()
    for seed in range(chunk, 400, 8):
        run = random_run(seed)
        try:
            kinds.add(check(core, run))
        except RefusedError:
            continue  # not a problem that these kernels take
        except AssertionError as error:
            raise AssertionError(f"seed {seed}: {run}") from error
    assert kinds == {EVEN, EVEN_ON_DEVICE, SPANS, SPLITS}


@pytest.mark.parametrize(
    ("batch", "max_kv_len", "memory_bandwidth", "keeps"),
    [
        (8, 32768, H100, True),
        (8, 32768, H200, False),
        (4, 32768, H100, False),  # too short a run
        (1, 131072, H100, False),  # units are shared by many blocks
    ],
)
def test_long_stretches_stay_in_l2_where_the_memory_is_slow(
    core: Any, batch: int, max_kv_len: int, memory_bandwidth: int, keeps: bool
) -> None:
    machine = Machine(memory_bandwidth=memory_bandwidth)
    desc = {"batch": batch, "max_kv_len": max_kv_len, "alignment": 16}
    planned = plan(core, machine, desc, prefer_backend=2)
    run = Run(desc, {}, max_kv_len, machine)
    assert records(core, planned, run).keeps == keeps


@pytest.mark.parametrize(
    ("desc", "memory_bandwidth", "keeps", "paced_from"),
    [
        ({}, H100, False, 24),
        ({}, H200, False, 48),
        ({"page_size": 16, "num_pages": 8 * 256}, H100, False, 24),
        ({"page_size": 16, "num_pages": 8 * 256}, H200, False, NEVER_PACED),
        ({"head_dim": 112}, H100, False, 12),  # neighbours share lines: in step early
        ({"head_dim": 112, "batch": 32}, H100, True, NEVER_PACED),  # or lines stay in L2
        ({"head_dim": 112, "batch": 32}, H200, False, NEVER_PACED),
        ({"head_dim": 128, "head_dim_v": 112}, H100, False, 12),
        ({"head_dim": 112, "kv_heads": 1, "q_heads": 4}, H100, False, 24),  # no neighbour
        ({"head_dim": 80}, H100, False, 24),
        ({"head_dim": 192}, H100, False, 24),
    ],
)
def test_who_keeps_in_step_and_what_stays_in_l2(
    core: Any, desc: dict[str, Any], memory_bandwidth: int, keeps: bool, paced_from: int
) -> None:
    machine = Machine(memory_bandwidth=memory_bandwidth)
    desc = {"batch": 8, "max_kv_len": 4096, "alignment": 16, **desc}
    run = Run(desc, {}, 4096, machine)
    out = records(core, plan(core, machine, desc, prefer_backend=2), run)
    assert (out.keeps, out.paced_from) == (keeps, paced_from)
    assert out.looks_every == (4 if memory_bandwidth == H200 else 2)


@pytest.mark.parametrize(
    ("desc", "free_lead"),
    [
        ({}, 0.25),
        ({"head_dim": 192}, 0.5),
        ({"head_dim": 128, "head_dim_v": 256}, 0.5),
        ({"page_size": 16, "num_pages": 8 * 256}, 0.5),
        ({"batch": 32}, 0.25),
        ({"batch": 32, "page_size": 16, "num_pages": 32 * 256 - 1}, 0.25),  # two whole units each
        ({"batch": 64, "page_size": 16, "num_pages": 64 * 256}, 0.5),
    ],
)
def test_how_far_a_warp_may_lead(core: Any, desc: dict[str, Any], free_lead: float) -> None:
    machine = Machine(memory_bandwidth=H100)
    desc = {"batch": 8, "max_kv_len": 4096, "alignment": 16, **desc}
    run = Run(desc, {}, 4096, machine)
    assert records(core, plan(core, machine, desc, prefer_backend=2), run).free_lead == free_lead


@pytest.mark.parametrize(
    ("desc", "on_h100", "on_h200"),
    [
        ({"batch": 32}, 128, 128),  # two units for each
        ({"batch": 33}, 132, 132),
        ({"batch": 5}, 132, 132),  # 126 to 132 blocks do not share 40 units evenly
        ({"batch": 32, "page_size": 16, "num_pages": 32 * 256}, 132, 128),
        ({"batch": 32, "page_size": 16, "num_pages": 32 * 256 - 1}, 128, 128),  # lengths differ
        ({"batch": 1, "max_kv_len": 131072}, 128, 132),  # 16 parts of 64 turns; or with ends
        ({"batch": 1, "kv_heads": 1, "q_heads": 8, "max_kv_len": 131072}, 128, 128),
        ({"batch": 1, "kv_heads": 1, "q_heads": 8, "max_kv_len": 131072 + 32}, 132, 132),
    ],
)
def test_blocks_have_as_much_to_do(
    core: Any, desc: dict[str, Any], on_h100: int, on_h200: int
) -> None:
    desc = {"max_kv_len": 4096, "alignment": 16, **desc}
    grids = []
    for bandwidth in (H100, H200):
        machine = Machine(memory_bandwidth=bandwidth)
        lengths = [desc["max_kv_len"]] * desc["batch"]
        run = Run(desc, {}, lengths, machine)
        grids.append(records(core, plan(core, machine, desc, prefer_backend=2), run).grid)
    assert grids == [on_h100, on_h200]


@pytest.mark.parametrize(
    ("kv_heads", "lengths", "tiles"),
    [
        (8, [65536] + [1024] * 31, {32}),  # the short ones are whole, and nobody exchanges them
        (8, [65536] + [512] * 31, {16}),  # a split
        (16, [4096] * 6 + [2048] * 26, {64}),  # as above; by their number alone it would be 16
        (8, [131072] * 2, {128}),  # few nodes to exchange
    ],
)
def test_how_far_fixed_splits_are_folded_where_lengths_differ(
    core: Any, kv_heads: int, lengths: list[int], tiles: set[int]
) -> None:
    desc = {
        "batch": len(lengths), "kv_heads": kv_heads, "q_heads": 4 * kv_heads,
        "max_kv_len": 131072, "alignment": 16,
    }  # fmt: skip
    machine = Machine()
    planned = plan(core, machine, desc, prefer_backend=2, flags=BATCH_INVARIANT)
    run = Run(desc, {}, lengths, machine)
    out = records(core, planned, run)
    assert {piece.tiles for piece in out.pieces[: out.piece_count]} == tiles


@pytest.mark.parametrize("length", [0, 300, 4096, 33_000, 131_072])
@pytest.mark.parametrize("batch", [1, 2, 40])
def test_the_host_folds_as_far_as_the_device(core: Any, batch: int, length: int) -> None:
    desc = {"batch": batch, "max_kv_len": 131_072, "alignment": 16}
    machine = Machine()
    planned = plan(core, machine, desc, prefer_backend=2, flags=BATCH_INVARIANT)
    found = []
    for lengths in (length, [length] * batch):
        out = records(core, planned, Run(desc, {}, lengths, machine))
        found.append([(p.block, p.first, p.tiles) for p in out.pieces[: out.piece_count]])
    assert found[0] == found[1]
