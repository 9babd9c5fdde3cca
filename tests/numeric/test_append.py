"""flashdec.append against NumPy, bit for bit: flashdec_append.h says which operations round."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import flashdec
from flashdec import Fault, InvalidArgumentError
from kit.backends import Backend, environment
from kit.compare import same_bits

Arrays = dict[str, Any]
Edit = tuple[str, Any, Any]  # array, index, value
Faults = dict[int, Fault]  # by sequence

DTYPES = {np.dtype(x).name: np.dtype(x) for x in (np.float32, np.float16, ml_dtypes.bfloat16)}
MARGIN = 64  # elements around an array: a write beside it shows, and rows of 16 bytes stay aligned
NEW_ROWS = ("q", "q_out", "k", "v")


@dataclass(frozen=True)
class Case:
    """A call, and how its arrays lie."""

    dtype: str = "bfloat16"
    kv_len: tuple[int, ...] | int | None = None  # None: some, none, and all but the new tokens
    batch: int = 3
    tokens: int = 1  # one has no axis
    new_len: tuple[int, ...] | None = None
    positions: tuple[int, ...] | None = None
    max_position: int = 0  # 0: capacity
    capacity: int = 48  # a multiple of page
    page: int = 0
    layout: str = "bshd"
    q_heads: int = 4
    kv_heads: int = 2
    head_dim: int = 64
    head_dim_v: int = 64
    rotary: int = 64
    interleaved: bool = False
    angles: str = ""  # a dtype; "": that of k
    halves: bool = False  # cos and sin are halves of one table
    packed: bool = False  # q, k and v are parts of one tensor
    out: str = "given"  # q_out; or "in place", or "new"
    gap: int = 0  # elements between rows of the caches, and of q_out
    advance: bool = False
    status: bool = True
    edits: tuple[Edit, ...] = ()  # the last thing done to the arrays

    @property
    def lengths(self) -> tuple[int, ...]:
        if self.kv_len is None:
            return (5, 0, self.capacity - self.tokens)
        return (self.kv_len,) * self.batch if isinstance(self.kv_len, int) else self.kv_len


def laid(draw: Any, shape: tuple[int, ...], dtype: Any, gap: int = 0) -> Any:
    """Random rows, with random elements around them."""
    wide = (*shape[:-1], shape[-1] + gap)
    whole = draw.standard_normal(int(np.prod(wide)) + 2 * MARGIN, np.float32).astype(dtype)
    return whole[MARGIN:-MARGIN].reshape(wide)[..., : shape[-1]]


def root(array: Any) -> Any:
    """All of the memory that an array is a part of."""
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array


def build_rows(case: Case, draw: Any, dtype: Any) -> Arrays:
    heads, front = (case.q_heads, case.kv_heads, case.kv_heads), (case.batch, case.tokens)
    dims = (case.head_dim, case.head_dim, case.head_dim_v)
    widths = np.multiply(heads, dims)
    parts = np.split(laid(draw, (*front, widths.sum()), dtype), np.cumsum(widths)[:-1], -1)
    a = {n: p.reshape(*front, h, d) for n, p, h, d in zip("qkv", parts, heads, dims, strict=True)}
    if not case.packed:
        a = {name: part.copy() for name, part in a.items()}
    given = laid(draw, a["q"].shape, dtype, case.gap)
    a["q_out"] = {"given": given, "in place": a["q"], "new": given.copy()}[case.out]
    return a if case.q_heads else {"k": a["k"], "v": a["v"]}


def build(case: Case) -> Arrays:
    """Make the same arrays each time, by the names of append's arguments."""
    draw, dtype = np.random.default_rng(5), DTYPES[case.dtype]
    a = build_rows(case, draw, dtype)
    blocks, slots = case.batch, case.capacity
    if case.page:
        blocks, slots = blocks * slots // case.page + 3, case.page
    inner = (slots, case.kv_heads) if case.layout == "bshd" else (case.kv_heads, slots)
    for name, dim in (("k_cache", case.head_dim), ("v_cache", case.head_dim_v)):
        a[name] = laid(draw, (blocks, *inner, dim), dtype, case.gap)
    if case.rotary:
        angles = draw.uniform(-9, 9, (case.max_position or case.capacity, case.rotary // 2))
        table = np.concatenate([np.cos(angles), np.sin(angles)], 1)
        halves = np.split(table.astype(DTYPES[case.angles or case.dtype]), 2, 1)
        a["cos"], a["sin"] = halves if case.halves else (half.copy() for half in halves)
    words = {"new_len": case.new_len, "positions": case.positions}
    words["kv_len"] = None if isinstance(case.kv_len, int) else case.lengths
    words["status"] = (0,) if case.status else None
    a |= {name: np.array(word, np.int32) for name, word in words.items() if word is not None}
    if case.page:
        a["page_table"] = draw.permutation(blocks)[:-3].astype(np.int32).reshape(case.batch, -1)
        for b, length in enumerate(case.lengths):  # ids that nobody may look at
            end = length + (case.tokens if case.new_len is None else case.new_len[b])
            a["page_table"][b, : length // case.page if end > length else None] = -7
            a["page_table"][b, -(-end // case.page) :] = 1 << 20
    for name, index, value in case.edits:
        a[name][index] = value
    return a


def rotate(case: Case, rows: Any, a: Arrays, position: int) -> Any:
    """NumPy rounds each product and each sum of float32, and then to the type of the rows."""
    if case.rotary == 0:
        return rows
    step, apart = (2, 1) if case.interleaved else (1, case.rotary // 2)
    first = step * np.arange(case.rotary // 2)
    x, y = (rows[..., each].astype(np.float32) for each in (first, first + apart))
    cos, sin = (a[name][position].astype(np.float32) for name in ("cos", "sin"))
    turned = rows.copy()
    with np.errstate(all="ignore"):
        turned[..., first] = (x * cos - y * sin).astype(rows.dtype)
        turned[..., first + apart] = (y * cos + x * sin).astype(rows.dtype)
    return turned


def reference(case: Case, faults: Faults) -> Arrays:
    """What the arrays become where these sequences, and no others, are at fault."""
    a = build(case)
    axes = (0, 1, 2, 3) if case.layout == "bshd" else (0, 2, 1, 3)
    k_cache, v_cache = (a[name].transpose(axes) for name in ("k_cache", "v_cache"))
    for b in range(case.batch):
        if b in faults:
            a.get("q_out", {})[b] = np.nan
            a.get("status", [0])[0] |= faults[b]
            continue
        length = int(a["kv_len"][b]) if "kv_len" in a else case.lengths[b]
        count = int(a["new_len"][b]) if "new_len" in a else case.tokens
        position = int(a["positions"][b]) if "positions" in a else length
        for t in range(count):
            at = (b, length + t)
            if case.page:
                at = (a["page_table"][b, at[1] // case.page], at[1] % case.page)
            k_cache[at] = rotate(case, a["k"][b, t], a, position + t)
            v_cache[at] = a["v"][b, t]
            if case.q_heads:
                a["q_out"][b, t] = rotate(case, a["q"][b, t], a, position + t)
        if case.advance:
            a["kv_len"][b] += count
    return {name: root(array) for name, array in a.items()}


def put(backend: Backend, case: Case) -> tuple[dict[str, Any], Callable[[], Arrays]]:
    """The arguments of append, and what fetches the arrays with all that is around them."""
    a, carried = build(case), dict[int, Any]()
    there = {"kv_len": case.kv_len, **{n: backend.view(x, carried) for n, x in a.items()}}
    if case.tokens == 1:
        there |= {n: there[n][:, 0] for n in NEW_ROWS if n in there}
    if case.out != "given":
        there["q_out"] = None if case.out == "new" else there["q"]
    there |= {"interleaved": case.interleaved, "layout": case.layout, "advance": case.advance}

    def fetch() -> Arrays:
        backend.finish()
        return {n: backend.fetch(backend.view(root(x), carried)).copy() for n, x in a.items()}

    return there, fetch


def run(backend: Backend, case: Case) -> Arrays:
    args, fetch = put(backend, case)
    result = flashdec.append(**args)
    got = fetch()
    if case.out == "new":
        assert result.shape == args["q"].shape
        return {**got, "q_out": backend.fetch(result).copy()}
    assert result is args.get("q_out")
    return got


def differing(got: Arrays, want: Arrays) -> list[str]:
    """Names of the arrays that differ in a bit; but one NaN is as good as another."""
    bits = lambda x: np.where(np.isnan(x), -1, x.view(f"i{x.itemsize}"))  # noqa: E731
    return [n for n in want if not same_bits(bits(got[n].reshape(-1)), bits(want[n].reshape(-1)))]


def check(backend: Backend, case: Case, faults: Faults | None = None) -> Arrays:
    got = run(backend, case)
    assert not differing(got, reference(case, faults or {}))
    again = run(backend, case)
    assert all(same_bits(got[name], again[name]) for name in got)
    return got


PLACES: dict[str, dict[str, Any]] = {
    "bshd": {}, "bhsd": {"layout": "bhsd"}, "any alignment": {"gap": 1, "packed": True},
    "pages of 1": {"page": 1}, "pages of 3": {"page": 3, "gap": 8}, "pages of 16": {"page": 16},
    "pages of 4": {"page": 4, "layout": "bhsd"}, "apart": {"gap": 8},
}  # fmt: skip
SHAPES: list[dict[str, Any]] = [
    {}, {"interleaved": True}, {"rotary": 0}, {"q_heads": 0, "head_dim_v": 128},
    {"head_dim": 128, "head_dim_v": 128, "rotary": 128, "q_heads": 8, "kv_heads": 1},
    {"head_dim": 192, "head_dim_v": 128, "kv_heads": 1}, {"head_dim": 80, "rotary": 32},
    {"head_dim": 80, "rotary": 32, "interleaved": True, "q_heads": 3, "angles": "float32"},
    {"head_dim": 20, "head_dim_v": 9, "rotary": 6}, {"head_dim": 72, "angles": "float32"},
    {"head_dim": 20, "head_dim_v": 12, "rotary": 6, "interleaved": True},
    {"head_dim": 7, "head_dim_v": 5, "rotary": 0, "kv_heads": 3},
    {"halves": True, "head_dim": 68, "head_dim_v": 72}, {"rotary": 24, "angles": "float32"},
    {"halves": True, "head_dim_v": 72, "angles": "float32", "interleaved": True},
]  # fmt: skip


@pytest.mark.parametrize("tokens", [1, 21])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("place", PLACES)
def test_append(backend: Backend, place: str, shape: Any, dtype: str, tokens: int) -> None:
    check(backend, Case(dtype, tokens=tokens, advance=True, **PLACES[place], **shape))


MANY: dict[str, Any] = {"batch": 2, "tokens": 300, "capacity": 480, "kv_len": (11, 180)}
CALLS: list[dict[str, Any]] = [
    {}, {"kv_len": 7}, {"kv_len": 42}, {"batch": 1, "kv_len": (3,), "advance": True},
    {"positions": (60, 0, 94), "max_position": 100}, {"new_len": (6, 0, 3)},
    {"new_len": (1, 5, 0), "kv_len": (47, 0, 48), "advance": True},
    {"new_len": (0, 0, 0), "kv_len": (48, 0, 9), "positions": (48, -1, 9)},
    {"out": "in place"}, {"out": "in place", "new_len": (2, 0, 6)}, {"out": "new"},
    {"out": "new", "tokens": 1}, {"packed": True}, {"packed": True, "tokens": 1, "advance": True},
    {"packed": True, "out": "in place", "interleaved": True}, {"status": False},
    MANY, {**MANY, "new_len": (299, 0), "out": "in place", "advance": True},
    {"tokens": 64, "capacity": 256, "advance": True},  # 64 KiB of bfloat16: one launch
    {"tokens": 65, "capacity": 256, "advance": True},  # and two
    {"edits": (("cos", ..., 1.5), ("sin", ..., 0.0))},  # ties, rounded to even
]  # fmt: skip


@pytest.mark.parametrize("place", ["bshd", "any alignment", "pages of 1", "pages of 16"])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("call", CALLS, ids=str)
@pytest.mark.parametrize("checked", ["0", "1"])
def test_calls(backend: Backend, checked: str, call: Any, dtype: str, place: str) -> None:
    with environment(FLASHDEC_CHECK=checked):
        check(backend, Case(dtype, **{"tokens": 6, **PLACES[place], **call}))


def test_steps_one_after_another(backend: Backend) -> None:
    """Each reads the lengths that the one before has left on the device."""
    case = Case(tokens=20, advance=True, kv_len=(3, 0, 28), page=4, layout="bhsd")
    args, fetch = put(backend, case)
    for t in range(case.tokens):
        flashdec.append(**{**args, **{name: args[name][:, t] for name in NEW_ROWS}})
    assert not differing(fetch(), reference(case, {}))


@pytest.mark.parametrize("interleaved", [False, True])
@pytest.mark.parametrize("gap", [0, 1])
@pytest.mark.parametrize("dtype", DTYPES)
def test_values_of_every_kind(backend: Backend, dtype: str, gap: int, interleaved: bool) -> None:
    """Infinities, NaN, zeros of both signs, subnormals, sums that overflow; copies keep NaNs."""
    info, draw = ml_dtypes.finfo(DTYPES[dtype]), np.random.default_rng(6)
    tiny, least, most = map(float, (info.smallest_normal, info.smallest_subnormal, info.max))
    kinds = [0.0, -0.0, 1.0, np.inf, -np.inf, np.nan, most, -most, tiny, least, -3 * least]
    factors = [0.0, -0.0, 1.0, -1.0, 0.5, 0.75, -0.75, 2.0**-20]
    edits: list[Edit] = [(n, ..., draw.choice(kinds, (3, 21, 2, 80))) for n in "qkv"]
    edits += [(n, ..., draw.choice(factors, (48, 32))) for n in ("cos", "sin")]
    sizes: dict[str, Any] = {"tokens": 21, "q_heads": 2, "head_dim": 80, "head_dim_v": 80}
    case = Case(dtype, interleaved=interleaved, gap=gap, edits=tuple(edits), **sizes)
    assert same_bits(check(backend, case)["v_cache"], reference(case, {})["v_cache"])


LEAST, MOST = -(2**31), 2**31 - 1
FAULT_OF = {"kv_len": Fault.KV_LEN, "new_len": Fault.KV_LEN, "positions": Fault.POSITION,
            "page_table": Fault.PAGE}  # fmt: skip
# Sequence 1 has 3 tokens, gets 6, and has room for 20: tokens 3 to 8, of pages 0, 1 and 2.
PLAIN = Case(
    batch=4, kv_len=(9, 3, 14, 0), tokens=6, new_len=(6, 6, 5, 0), positions=(1, 2, 30, 34),
    max_position=36, capacity=20, advance=True,
)  # fmt: skip
PAGED = replace(PLAIN, page=4)  # of 23 pages
BAD_WORDS: list[Edit] = [
    *(("kv_len", 1, value) for value in (-1, LEAST, 15, 20, 21, MOST)),
    *(("kv_len", 3, value) for value in (-1, 21)),  # though nothing is new there
    *(("new_len", 1, value) for value in (-1, LEAST, 7, 18, MOST)),
    *(("positions", 1, value) for value in (-1, LEAST, 31, 36, MOST)),
]
BAD_PAGES = [("page_table", (1, i), x) for i in (0, 1, 2) for x in (-1, LEAST, MOST, 23)]
VARIANTS: list[dict[str, Any]] = [
    {"out": "in place"}, {"packed": True, "out": "in place"}, {"gap": 1}, {"q_heads": 0},
    {"out": "new", "new_len": None, "positions": None}, {"tokens": 1, "new_len": None},
    {"rotary": 0, "positions": None}, {"head_dim": 7, "rotary": 6, "interleaved": True},
    {"q_heads": 64, "kv_heads": 16},
]  # fmt: skip
LONG = Case(tokens=300, kv_len=(0, 2, 5), page=1, capacity=310, advance=True)  # of 933 pages


def spoil(case: Case, *edits: Edit) -> tuple[Case, Faults]:
    """A case, with a bit of status set before, and the faults that the edits are."""
    faults = {int(np.ravel(index)[0]): FAULT_OF[name] for name, index, _ in edits}
    return replace(case, edits=(("status", 0, 64), *edits)), faults


FAULTS: list[tuple[Case, Faults]] = [
    *(spoil(case, edit) for case in (PLAIN, PAGED) for edit in BAD_WORDS),
    *(spoil(replace(PAGED, layout=x), edit) for x in ("bshd", "bhsd") for edit in BAD_PAGES),
    *(spoil(replace(PLAIN, **more), ("kv_len", 1, 20)) for more in VARIANTS),
    *(spoil(replace(PAGED, **more), ("page_table", (1, 0), -1)) for more in VARIANTS),
    *(spoil(LONG, ("page_table", (2, 5 + t), 933)) for t in (0, 1, 150, 298, 299)),
    *(spoil(replace(LONG, tokens=t, kv_len=None), ("kv_len", 2, 311 - t)) for t in (64, 65, 300)),
    spoil(PAGED, ("kv_len", 0, -1), ("page_table", (1, 2), -1), ("positions", 2, 36)),
    (replace(PAGED, status=False, edits=(("kv_len", 1, -5),)), {1: Fault.KV_LEN}),
    (Case(tokens=6, kv_len=(14, 15, 42), max_position=20), dict.fromkeys((1, 2), Fault.POSITION)),
]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("case", "faults"), FAULTS)
def test_faults(backend: Backend, case: Case, faults: Faults, dtype: str) -> None:
    """Nothing of the sequence but NaN, and the others as ever."""
    check(backend, replace(case, dtype=dtype), faults)


REFUSED: list[tuple[Edit, str]] = [
    (("kv_len", 1, -1), "kv_len[1] is -1; it must be 0 to 14"),
    (("kv_len", 1, 15), "kv_len[1] is 15; it must be 0 to 14"),
    (("new_len", 0, 7), "new_len[0] is 7; it must be 0 to 6"),
    (("page_table", (1, 0), -1), "page_table[1, 0] is -1; it must be 0 to 22"),
    (("page_table", (1, 2), 23), "page_table[1, 2] is 23; it must be 0 to 22"),
    (("positions", 2, 32), "positions[2] is 32, a position; it must be 0 to 31"),
]


@pytest.mark.parametrize(("edit", "sentence"), REFUSED)
def test_check_refuses(backend: Backend, edit: Edit, sentence: str) -> None:
    """By name, and with nothing written."""
    case = replace(PAGED, edits=(edit,))
    args, fetch = put(backend, case)
    with environment(FLASHDEC_CHECK="1"), pytest.raises(InvalidArgumentError) as caught:
        flashdec.append(**args)
    assert sentence in str(caught.value)
    got = fetch()
    assert all(same_bits(got[name], root(array)) for name, array in build(case).items())
