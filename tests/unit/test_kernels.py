"""The tensor-core kernels, run on the host thread by thread (emulation/), against float64.

What a GPU would show only by chance is an error here: threads that wait for ever, lanes that part,
a tile that is read before it has arrived, a copy that outlives its block, a workspace that is not
left as it was found.  The order in which warps take turns is drawn anew for every case.
"""

from __future__ import annotations

import ctypes
import random
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from planner import BATCH_INVARIANT, BF16, F16, NO_SM90A, Machine, Planned, plan

from flashdec import _abi
from flashdec.dtypes import DType
from flashdec.reference import Exact, error_bound, exact_decode, lse_bound

Array = npt.NDArray[Any]
DTYPES = {BF16: DType.BFLOAT16, F16: DType.FLOAT16}
H100, H200 = 3_352_320_000_000, 4_916_736_000_000  # bytes a second
# dtype, head_dim and groups of the kernels that kernels.cpp has.
CLASSES = (
    (BF16, (104, 128), (1, 3, 4, 8)),
    (BF16, (136, 192), (1, 4, 9, 16)),
    (F16, (8, 64), (9, 12, 16, 40)),
)
KERNELS = {
    f"cuda_{sm}_{name}"
    for sm in ("sm80", "sm90")
    for name in ("bf16_d128_h8", "bf16_d192_h8", "f16_d64_h16")
}


@dataclass(frozen=True)
class Case:
    """A problem and how it is run; ``lengths``: a number is known to the host."""

    dtype: int
    batch: int
    kv_heads: int
    group: int
    head_dim: int
    head_dim_v: int
    max_kv_len: int
    lengths: tuple[int, ...] | int
    page_size: int = 0
    blocks: int = 4
    flags: int = 0
    split_len: int = 0
    prepared: bool = True
    refuses_together: bool = False
    memory_bandwidth: int = H100
    seed: int = 1

    @property
    def columns(self) -> int:
        """Of a page table."""
        return -(-self.max_kv_len // self.page_size)


@dataclass
class Arrays:
    """Operands: bits as the kernels see them, and their values."""

    q: Array
    k: Array
    v: Array
    table: Array | None


def rounded(values: Array, dtype: int) -> tuple[Array, Array]:
    """Bits of 16-bit numbers, and float32 values."""
    if dtype == F16:
        half = values.astype(np.float16)
        return half.view(np.uint16), half.astype(np.float32)
    bits = values.astype(np.float32).view(np.uint32)
    kept = (bits + 0x7FFF + (bits >> 16 & 1)) >> 16
    return kept.astype(np.uint16), (kept << 16).astype(np.uint32).view(np.float32)


def live_rows(case: Case, arrays: Arrays, live: Array) -> tuple[Array, Array]:
    """Which rows of the cache are live, ``[.., tokens]``, and the index of every sequence's."""
    if arrays.table is None:
        return live, live
    marks = np.zeros((arrays.k.shape[0], case.page_size), bool)
    for b in range(case.batch):
        for t in np.flatnonzero(live[b]):
            marks[arrays.table[b, t // case.page_size], t % case.page_size] = True
    return marks, live


def make_arrays(case: Case, draw: np.random.Generator) -> tuple[Arrays, Exact]:
    """Random operands, NaN where nothing is live, and the exact results."""
    lengths = np.broadcast_to(np.array(case.lengths), (case.batch,))
    if case.page_size:
        count = case.batch * case.columns + 3
        table = draw.permutation(count)[: case.batch * case.columns]
        table = table.reshape(case.batch, case.columns).astype(np.int32)
        rows = (count, case.page_size)
    else:
        table, rows = None, (case.batch, case.max_kv_len)
    q_bits, q = rounded(
        draw.standard_normal((case.batch, case.kv_heads * case.group, case.head_dim)), case.dtype
    )
    k_bits, k = rounded(draw.standard_normal((*rows, case.kv_heads, case.head_dim)), case.dtype)
    v_bits, v = rounded(draw.standard_normal((*rows, case.kv_heads, case.head_dim_v)), case.dtype)
    exact = exact_decode(q, k, v, kv_len=np.clip(lengths, 0, case.max_kv_len), page_table=table)
    arrays = Arrays(q_bits, k_bits, v_bits, table)
    live = np.arange(case.max_kv_len) < lengths[:, None]
    dead = ~live_rows(case, arrays, live)[0]
    k_bits[dead] = v_bits[dead] = 0xFFFF
    if table is not None:
        pages_of = -(-lengths // case.page_size)
        unused = np.arange(case.columns) >= pages_of[:, None]
        table[unused] = draw.choice([-1, count, 2**31 - 1, count - 1], unused.sum())
    return arrays, exact


def aligned(count: int, kind: type, value: int) -> Array:
    """Memory that a workspace may begin at."""
    size = np.dtype(kind).itemsize
    raw = np.full(count * size + 256, value, np.uint8)
    begin = -raw.ctypes.data % 256
    return raw[begin : begin + count * size].view(kind)


def make_plan(library: Any, case: Case) -> Planned:
    desc = {
        "batch": case.batch, "q_heads": case.kv_heads * case.group, "kv_heads": case.kv_heads,
        "max_kv_len": case.max_kv_len, "head_dim": case.head_dim, "head_dim_v": case.head_dim_v,
        "q_dtype": case.dtype, "kv_dtype": case.dtype, "page_size": case.page_size,
        "num_pages": case.batch * case.columns + 3 if case.page_size else 0, "alignment": 16,
    }  # fmt: skip
    machine = Machine(sm_count=case.blocks, memory_bandwidth=case.memory_bandwidth)
    return plan(library, machine, desc, flags=case.flags, split_len=case.split_len)


def strides(array: Array) -> tuple[int, ...]:
    return tuple(each // array.itemsize for each in array.strides[:-1])


def emulate(library: Any, case: Case, arrays: Arrays) -> tuple[Array, Array]:
    """The bits of o, and lse; checks what is left in the workspace."""
    planned = make_plan(library, case)
    assert planned.name in KERNELS
    content = (ctypes.c_uint64 * 128).from_buffer_copy(planned.content)
    heads = case.kv_heads * case.group
    o = np.full((case.batch, heads, case.head_dim_v), 0xFFFF, np.uint16)
    lse = np.full((case.batch, heads), 7.0, np.float32)
    nbytes = planned.facts.workspace_bytes
    workspace = aligned(nbytes + 64, np.uint8, 0x55)
    if case.prepared:
        workspace[:nbytes] = 0xFF
    args = _abi.sized(_abi.CArgs)
    for name in ("q", "k", "v"):
        setattr(args, name, getattr(arrays, name).ctypes.data)
    args.o, args.lse = o.ctypes.data, lse.ctypes.data
    args.q_stride_batch, args.q_stride_head = strides(arrays.q)
    args.k_stride_batch, args.k_stride_token, args.k_stride_head = strides(arrays.k)
    args.v_stride_batch, args.v_stride_token, args.v_stride_head = strides(arrays.v)
    args.o_stride_batch, args.o_stride_head = strides(o)
    args.lse_stride_batch, args.lse_stride_head = heads, 1
    if isinstance(case.lengths, int):
        args.flags, args.uniform_kv_len = _abi.ARGS_UNIFORM_KV_LEN, case.lengths
    else:
        lengths = np.array(case.lengths, np.int32)
        args.kv_len = lengths.ctypes.data
    if arrays.table is not None:
        args.page_table = arrays.table.ctypes.data
        args.page_table_stride = case.columns
    if case.prepared:
        args.flags |= _abi.ARGS_PREPARED_WORKSPACE
    library.unit_emulate(ctypes.c_uint64(case.seed), ctypes.c_int32(case.refuses_together))
    code = library.flashdec_run(
        ctypes.byref(content), ctypes.byref(args), ctypes.c_void_p(workspace.ctypes.data or None),
        ctypes.c_uint64(nbytes), None,
    )  # fmt: skip
    assert code == 0, library.flashdec_last_error().decode()
    assert (workspace[nbytes:] == 0x55).all()
    if case.prepared:
        assert (workspace[:nbytes] == 0xFF).all()
    return o, lse


def check(case: Case, o: Array, lse: Array, exact: Exact) -> None:
    dtype = DTYPES[case.dtype]
    wide = (
        (o.astype(np.uint32) << 16).view(np.float32) if case.dtype == BF16 else o.view(np.float16)
    )
    got = wide.astype(np.float64)
    lengths = np.broadcast_to(np.array(case.lengths), (case.batch,))
    bad = (lengths < 0) | (lengths > case.max_kv_len)
    assert np.isnan(got[bad]).all()
    assert np.isnan(lse[bad]).all()
    assert (np.abs(got - exact.o) <= error_bound(exact, dtype, dtype))[~bad].all()
    finite = np.isfinite(exact.lse) & ~bad[:, None]
    assert (np.abs(lse - np.where(finite, exact.lse, 0.0)) <= lse_bound(exact))[finite].all()
    assert (lse[~finite & ~bad[:, None]] == -np.inf).all()


def random_case(seed: int) -> Case:
    draw = random.Random(seed)
    dtype, (least, most), groups = draw.choice(CLASSES)
    head_dim = draw.choice([most, draw.randrange(least, most, 8)])
    max_kv_len = draw.choice([draw.randint(1, 200), draw.randint(200, 1200)])
    batch = draw.choice([1, 2, 3, 5]) if max_kv_len > 200 else draw.choice([1, 4, 35])
    kind = draw.choice(["host", "device", "differ"])
    one = draw.choice([max_kv_len, draw.randint(0, max_kv_len)])
    lengths: tuple[int, ...] | int = one
    if kind == "device":
        lengths = (one,) * batch
    elif kind == "differ":
        choices = [
            0,
            1,
            max_kv_len,
            -1,
            max_kv_len + 1,
            *(draw.randint(0, max_kv_len) for _ in "123456"),
        ]
        lengths = tuple(draw.choice(choices) for _ in range(batch))
    invariant = draw.random() < 0.35
    return Case(
        dtype=dtype,
        batch=batch,
        kv_heads=draw.choice([1, 2, 3]),
        group=draw.choice(groups),
        head_dim=head_dim,
        head_dim_v=draw.choice([head_dim, max(8, head_dim - 24)]),
        max_kv_len=max_kv_len,
        lengths=lengths,
        page_size=draw.choice([0, 0, 8, 16, 48]),
        blocks=draw.choice([1, 3, 4, 7]),
        flags=draw.choice([0, NO_SM90A]) | (BATCH_INVARIANT if invariant else 0),
        split_len=draw.choice([0, 128, 200]) if invariant else 0,
        prepared=draw.random() < 0.8,
        refuses_together=draw.random() < 0.1,
        seed=seed + 1,
    )


def check_twice(library: Any, case: Case, seed: int) -> None:
    """Against float64; and in another order of the warps, in one launch or two, the same bits."""
    arrays, exact = make_arrays(case, np.random.default_rng(seed))
    o, lse = emulate(library, case, arrays)
    check(case, o, lse, exact)
    other = replace(case, seed=case.seed + 1000, refuses_together=not case.refuses_together)
    again, lse_again = emulate(library, other, arrays)
    assert np.array_equal(o, again)
    assert np.array_equal(lse, lse_again, equal_nan=True)


@pytest.mark.parametrize("seed", range(40))
def test_random_cases(emulated: Any, seed: int) -> None:
    check_twice(emulated, random_case(seed), seed)


USUAL = Case(
    dtype=BF16, batch=2, kv_heads=2, group=4, head_dim=128, head_dim_v=128, max_kv_len=700,
    lengths=700,
)  # fmt: skip


@pytest.mark.parametrize("length", [1, 15, 33, 200, 689, 700])
@pytest.mark.parametrize("page_size", [0, 8, 16, 32])
@pytest.mark.parametrize("units", [1, 2])
def test_the_tile_asked_for_ahead(emulated: Any, units: int, page_size: int, length: int) -> None:
    """Lengths on the device that are equal, and not the longest; unused page ids are bad."""
    case = replace(
        USUAL, batch=units, kv_heads=units, lengths=(length,) * units, page_size=page_size
    )
    check_twice(emulated, case, length)


@pytest.mark.parametrize("page_size", [0, 16])
@pytest.mark.parametrize(
    ("blocks", "lengths"),
    [
        (4, (700,) * 6),
        (4, (700, 700, 40, 650, 300, 700)),
        (4, (129, 257, 300, 1, 0, 256)),
        (3, (260,) * 5 + (-1,)),
    ],
)
def test_blocks_that_begin_before_the_lengths(
    emulated: Any, blocks: int, lengths: tuple[int, ...], page_size: int
) -> None:
    """Whole units for every block: one or two tiles are asked for, right whether lengths differ."""
    case = replace(USUAL, batch=len(lengths), lengths=lengths, blocks=blocks, page_size=page_size)
    for seed in range(3):
        check_twice(emulated, replace(case, seed=seed), seed)


def test_one_block_ends_more_strips_than_the_shelf_holds(emulated: Any) -> None:
    """Six are a tile longer than what a block takes, and the seventh block takes six such tiles."""
    case = replace(USUAL, batch=7, kv_heads=1, blocks=7, max_kv_len=300, lengths=(256,) * 6 + (20,))
    for seed in range(3):
        check_twice(emulated, replace(case, seed=seed), seed)


@pytest.mark.parametrize("kv_heads", [1, 3])
def test_more_pieces_than_a_warp_can_see(emulated: Any, kv_heads: int) -> None:
    """Of sequences of a tile or two, most warps have no tile of one, and look for the next."""
    lengths = (*(1 + 7 * b % 40 for b in range(36)), 600, 0, 5, 70)
    case = replace(USUAL, batch=40, kv_heads=kv_heads, blocks=3, max_kv_len=600, lengths=lengths)
    for seed in range(3):
        check_twice(emulated, replace(case, seed=seed), seed)


@pytest.mark.parametrize("length", [1, 129, 640, 1000, 1025])
@pytest.mark.parametrize("blocks", [1, 3])
def test_splits_that_are_folded(emulated: Any, blocks: int, length: int) -> None:
    """Neighbouring splits in the block, what is left after the exchange."""
    case = replace(
        USUAL, batch=1, kv_heads=1, max_kv_len=1025, lengths=(length,), blocks=blocks,
        flags=BATCH_INVARIANT, split_len=128,
    )  # fmt: skip
    for seed in range(4):
        check_twice(emulated, replace(case, seed=seed), seed)


@pytest.mark.parametrize("sm90", [True, False])
def test_both_ways_to_copy_give_the_same_bits(emulated: Any, sm90: bool) -> None:
    case = replace(USUAL, lengths=(700, 3), flags=0 if sm90 else NO_SM90A)
    arrays, _ = make_arrays(case, np.random.default_rng(5))
    o, lse = emulate(emulated, case, arrays)
    other, lse_other = emulate(emulated, replace(case, flags=case.flags ^ NO_SM90A), arrays)
    assert np.array_equal(o, other)
    assert np.array_equal(lse, lse_other)


def test_a_batch_invariant_sequence_has_its_bits_in_any_batch(emulated: Any) -> None:
    case = replace(USUAL, batch=3, lengths=(700, 3, 400), flags=BATCH_INVARIANT, split_len=128)
    arrays, _ = make_arrays(case, np.random.default_rng(6))
    o, lse = emulate(emulated, case, arrays)
    for b, length in enumerate((700, 3, 400)):
        alone = replace(case, batch=1, lengths=(length,), blocks=1)
        one = Arrays(arrays.q[b : b + 1], arrays.k[b : b + 1], arrays.v[b : b + 1], None)
        o_alone, lse_alone = emulate(emulated, alone, one)
        assert np.array_equal(o[b], o_alone[0])
        assert np.array_equal(lse[b], lse_alone[0])


def pace(library: Any) -> tuple[int, int]:
    """Tiles that paced warps have counted, and how often one has waited for the others."""
    tiles, stalls = ctypes.c_uint32(), ctypes.c_uint32()
    library.unit_pace(ctypes.byref(tiles), ctypes.byref(stalls))
    return tiles.value, stalls.value


@pytest.mark.parametrize(
    ("lengths", "more"),
    [
        (3300, {}),  # the host knows it
        ((3300,), {}),
        ((3170,), {"page_size": 16}),
        ((1700,) * 2, {"batch": 2, "page_size": 16}),
        (3300, {"flags": BATCH_INVARIANT, "split_len": 128}),
        (3300, {"kv_heads": 2, "blocks": 3}),  # a block has nothing to do, and does not count
        ((3300,) * 2, {"batch": 2, "blocks": 3}),
        (3300, {"kv_heads": 4, "blocks": 4}),
    ],
)
def test_warps_keep_in_step(emulated: Any, lengths: Any, more: dict[str, Any]) -> None:
    """Those that are ahead wait, which moves no bit; the code without tensor copies never does."""
    one = replace(USUAL, batch=1, kv_heads=1, max_kv_len=3300, blocks=1)
    case = replace(one, lengths=lengths, **more)
    arrays, exact = make_arrays(case, np.random.default_rng(9))
    before, waits = pace(emulated)
    o, lse = emulate(emulated, case, arrays)
    counted, waited = pace(emulated)
    check(case, o, lse, exact)
    units = case.batch * case.kv_heads
    tiles = case.kv_heads * sum(-(-n // 32) for n in np.broadcast_to(lengths, (case.batch,)))
    assert tiles - 4 * 3 * units < counted - before <= tiles
    assert waited > waits
    o_sm80, lse_sm80 = emulate(emulated, replace(case, flags=case.flags | NO_SM90A), arrays)
    assert pace(emulated) == (counted, waited)
    assert np.array_equal(o, o_sm80)
    assert np.array_equal(lse, lse_sm80)


def test_who_waits_and_how_long(emulated: Any) -> None:
    """The others, three warps, have read nothing, or so much that this one is behind, or they
    seem to have had far more left when it began."""
    ahead, more, behind, far_behind, began_later = (
        emulated.unit_wait(tiles) for tiles in (0, -12, 30, 300, -100)
    )
    assert 0 < ahead < more <= 225  # 0.45 of the time of one tile
    assert behind == far_behind == began_later == 0


@pytest.mark.parametrize(
    ("tokens", "more"),
    [
        (3000, {}),  # short
        (3300, {"memory_bandwidth": H200}),  # could serve more than is asked for
        (1700, {"memory_bandwidth": H200, "batch": 2, "lengths": (1700,) * 2}),
        (3300, {"memory_bandwidth": H200, "flags": BATCH_INVARIANT, "split_len": 128}),
        (3300, {"lengths": (500,)}),  # for less than it may be
    ],
)
def test_who_is_not_paced(emulated: Any, tokens: int, more: dict[str, Any]) -> None:
    one = replace(USUAL, batch=1, kv_heads=1, max_kv_len=tokens, blocks=1, lengths=tokens)
    case = replace(one, **more)
    before = pace(emulated)
    emulate(emulated, case, make_arrays(case, np.random.default_rng(9))[0])
    assert pace(emulated) == before
