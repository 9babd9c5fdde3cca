"""Small appends for compute-sanitizer, on raw device memory of exactly their size."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

import flashdec
from flashdec import _abi, _abi_append
from flashdec._storage import from_float32, storage_dtype, to_float32
from flashdec.dtypes import DType, as_dtype
from kit.driver import Memory, call

LENGTHS = (13, 0, 6)  # tokens of each sequence before
BATCH = len(LENGTHS)
BAD = 1  # the sequence that a fault is in
NOWHERE = 2**31 - 1  # a page that nobody may follow


@dataclass(frozen=True)
class AppendCase:
    """New tokens of three sequences, of which the first fills its cache to the end."""

    dtype: str
    tokens: int
    head_dim: int
    head_dim_v: int
    rotary_dim: int
    page_size: int = 0
    interleaved: bool = False
    advance: bool = False
    narrow: bool = False  # cos and sin are of dtype
    ragged: bool = False  # sequences have fewer new tokens than there is room for
    moved: bool = False  # positions are not lengths
    uniform: bool = False  # one length, known to the host
    in_place: bool = False  # q_out is q
    heads_first: bool = False  # in the cache
    fault: str = ""  # "kv_len", "page" or "position"
    q_heads: int = 5
    kv_heads: int = 2

    @property
    def name(self) -> str:
        words = [self.dtype, f"{self.tokens}x{self.head_dim}x{self.head_dim_v}r{self.rotary_dim}"]
        flags = ("interleaved", "advance", "narrow", "ragged", "moved", "uniform", "in_place",
                 "heads_first")  # fmt: skip
        words += [f"page{self.page_size}"] if self.page_size else []
        words += [word for word in flags if getattr(self, word)]
        words += [] if self.q_heads else ["keys_only"]
        return "_".join([*words, f"bad_{self.fault}"] if self.fault else words)

    @property
    def capacity(self) -> int:
        return max(LENGTHS) + self.tokens

    @property
    def counts(self) -> tuple[int, ...]:
        """New tokens of each sequence."""
        return (self.tokens, 1, 0) if self.ragged else (self.tokens,) * BATCH

    @property
    def lengths(self) -> list[int]:
        """Tokens of each sequence before; where that is the fault, one too many."""
        lengths = [max(LENGTHS)] * BATCH if self.uniform else list(LENGTHS)
        if self.fault == "kv_len":
            lengths[BAD] = self.capacity - self.counts[BAD] + 1
        return lengths

    @property
    def good(self) -> list[int]:
        """The sequences without a fault."""
        return [b for b in range(BATCH) if b != BAD or not self.fault]

    @property
    def blocks(self) -> tuple[int, int]:
        """Of a cache: pages and their tokens, or sequences and theirs."""
        if not self.page_size:
            return BATCH, self.capacity
        return BATCH * -(-self.capacity // self.page_size), self.page_size


TYPES = ("float32", "float16", "bfloat16")
FULL, ODD, NONE = (128, 128, 128), (77, 51, 38), (64, 64, 0)
SHAPES = (FULL, ODD, (72, 40, 64), (68, 36, 64), NONE)
APPENDS = [
    *(
        AppendCase(dtype, 3, *shape, page_size=page, interleaved=interleaved, advance=page == 4)
        for dtype, shape, interleaved, page in itertools.product(
            TYPES, SHAPES, (False, True), (0, 4)
        )
        if shape != NONE or not interleaved
    ),
    *(AppendCase(dtype, 1, *FULL, 16, advance=True, in_place=True) for dtype in TYPES),
    *(
        AppendCase(dtype, 3, *shape, interleaved=interleaved, narrow=True, moved=True)
        for dtype, interleaved in itertools.product(TYPES[1:], (False, True))
        for shape in (FULL, ODD)
    ),
    *(
        AppendCase("bfloat16", tokens, *FULL, page, advance=tokens > 9, ragged=True)
        for tokens, page in itertools.product((9, 20, 40), (0, 4))
    ),
    *(AppendCase("float16", 3, *FULL, page, heads_first=True) for page in (0, 4)),
    AppendCase("bfloat16", 3, *FULL, 4, uniform=True),
    AppendCase("bfloat16", 3, *FULL, 4, q_heads=0),
    *(
        AppendCase("bfloat16", tokens, *FULL, 4, advance=True, moved=True, fault=fault)
        for tokens, fault in itertools.product((1, 3, 40), ("kv_len", "page", "position"))
    ),
    AppendCase("float32", 40, *ODD, advance=True, ragged=True, fault="kv_len"),
]
"""Rows of vectors, also of an odd number of them, and of elements; with few new tokens lengths
grow in the one launch, with 40 in a second."""


class _Append:
    def __init__(self, case: AppendCase) -> None:
        self.case, self.element = case, as_dtype(case.dtype)
        self.rng = np.random.default_rng(5)
        rows, (blocks, slots) = BATCH * case.tokens, case.blocks
        itemsize = self.element.itemsize
        widths = {"k": case.head_dim, "v": case.head_dim_v}
        self.memory = {
            name: self._random(rows * case.kv_heads, width) for name, width in widths.items()
        }
        for name, width in widths.items():
            nbytes = blocks * slots * case.kv_heads * width * itemsize
            self.memory[f"{name}_cache"] = Memory(nbytes)
        if case.q_heads:
            q = self.memory["q"] = self._random(rows * case.q_heads, case.head_dim)
            self.memory["q_out"] = q if case.in_place else Memory(q.nbytes)
        self.table = self._page_table() if case.page_size else None
        self._upload_words()
        self.args = self._args()
        call("cuCtxSynchronize")

    def _random(self, rows: int, width: int, element: DType | None = None) -> Memory:
        """Values of -1 to 1."""
        values = self.rng.uniform(-1, 1, (rows, width)).astype(np.float32)
        return _upload(from_float32(values, element or self.element))

    def _page_table(self) -> Any:
        """A permutation; entries that no new token needs are far outside."""
        case, (pages, size) = self.case, self.case.blocks
        all_pages = self.rng.permutation(pages).astype(np.int32).reshape(BATCH, -1)
        table = np.full_like(all_pages, NOWHERE)
        for b in case.good:
            first, end = case.lengths[b], case.lengths[b] + case.counts[b]
            used = slice(first // size, -(-end // size) if first < end else 0)
            table[b, used] = all_pages[b, used]
        if case.fault == "page":
            table[BAD, case.lengths[BAD] // size] = pages
        elif case.fault == "position":
            table[BAD] = all_pages[BAD]
        return table

    def _upload_words(self) -> None:
        """Lengths, positions and angles, of exactly the positions that there are."""
        case, words = self.case, {"status": np.zeros(1, np.uint32)}
        starts = [4, 0, 7] if case.moved else case.lengths
        self.positions = max(starts[b] + case.counts[b] for b in case.good)
        if case.fault == "position":
            starts[BAD] = self.positions - case.counts[BAD] + 1
        if not case.uniform:
            words["kv_len"] = np.array(case.lengths, np.int32)
        if case.ragged:
            words["new_len"] = np.array(case.counts, np.int32)
        if case.moved:
            words["positions"] = np.array(starts, np.int32)
        if self.table is not None:
            words["page_table"] = self.table
        self.memory |= {name: _upload(array) for name, array in words.items()}
        if case.rotary_dim:
            for name in ("cos", "sin"):
                angle = self.element if case.narrow else DType.FLOAT32
                self.memory[name] = self._random(self.positions, case.rotary_dim // 2, angle)

    def cache_strides(self, width: int) -> tuple[int, int, int]:
        """Of a block, a token and a head."""
        slots, heads = self.case.blocks[1], self.case.kv_heads
        inner = (width, slots * width) if self.case.heads_first else (heads * width, width)
        return slots * heads * width, *inner

    def _args(self) -> Any:
        case = self.case
        args = _abi.sized(_abi_append.CAppendArgs)
        fields = {
            "flags": (_abi_append.APPEND_INTERLEAVED if case.interleaved else 0)
            | (_abi_append.APPEND_ADVANCE if case.advance else 0),
            "backend": flashdec.Backend.CUDA, "dtype": self.element,
            "rotary_dtype": self.element if case.narrow else DType.FLOAT32,
            "batch": BATCH, "tokens": case.tokens, "q_heads": case.q_heads,
            "kv_heads": case.kv_heads, "head_dim": case.head_dim, "head_dim_v": case.head_dim_v,
            "max_kv_len": case.capacity, "rotary_dim": case.rotary_dim,
            "max_position": self.positions if case.rotary_dim else 0,
            "uniform_kv_len": case.lengths[0] if case.uniform else 0,
            "cos_stride": case.rotary_dim // 2, "sin_stride": case.rotary_dim // 2,
            **{name: memory.pointer for name, memory in self.memory.items()},
        }  # fmt: skip
        if self.table is not None:
            fields |= {"page_size": case.page_size, "num_pages": case.blocks[0]}
            fields["page_table_stride"] = self.table.shape[1]
        rows = {"q": case.q_heads, "q_out": case.q_heads, "k": case.kv_heads, "v": case.kv_heads}
        for name, heads in rows.items():
            width = case.head_dim_v if name == "v" else case.head_dim
            fields[f"{name}_stride_head"] = width
            fields[f"{name}_stride_token"] = heads * width
            fields[f"{name}_stride_batch"] = case.tokens * heads * width
        for name, width in (("k_cache", case.head_dim), ("v_cache", case.head_dim_v)):
            for axis, stride in zip(("batch", "token", "head"), self.cache_strides(width),
                                    strict=True):  # fmt: skip
                fields[f"{name}_stride_{axis}"] = stride
        for name, value in fields.items():
            setattr(args, name, value)
        return args

    def run(self, stream: int) -> str:
        """Return what went wrong; empty if nothing did."""
        if _abi_append.append(_abi.address(self.args), stream):
            return f"refused: {_abi.last_error().decode()}"
        call("cuStreamSynchronize", stream)
        case = self.case
        faults = flashdec.Fault[case.fault.upper()] if case.fault else flashdec.Fault(0)
        found = int(self.memory["status"].download().view(np.uint32)[0])
        if found != faults:
            return f"the status word is {found}, not {int(faults)}"
        if not case.uniform:
            grown = [
                n + c * (case.advance and b in case.good)
                for b, (n, c) in enumerate(zip(case.lengths, case.counts, strict=True))
            ]
            if self.memory["kv_len"].download().view(np.int32).tolist() != grown:
                return f"kv_len is not {grown}"
        if case.q_heads and not self._queries_are_right():
            return "q_out is not finite, or finite beside a fault"
        return "" if self._caches_are_right() else "a cache is not finite"

    def _queries_are_right(self) -> bool:
        case, right = self.case, True
        row = case.q_heads * case.head_dim
        for b in range(BATCH):
            written = case.counts[b] if b in case.good else case.tokens
            values = self._read("q_out", b * case.tokens * row, written * row)
            right &= bool((np.isfinite(values) == (b in case.good)).all())
        return right

    def _caches_are_right(self) -> bool:
        """Of the new tokens: what else there is has never been written."""
        case, right = self.case, True
        for b in case.good:
            for slot, head in itertools.product(range(case.counts[b]), range(case.kv_heads)):
                block, place = b, case.lengths[b] + slot
                if self.table is not None:
                    block, place = self.table[b, place // case.page_size], place % case.page_size
                for name, width in (("k_cache", case.head_dim), ("v_cache", case.head_dim_v)):
                    steps = self.cache_strides(width)
                    start = int(np.dot((block, place, head), steps))
                    right &= bool(np.isfinite(self._read(name, start, width)).all())
        return right

    def _read(self, name: str, start: int, count: int) -> Any:
        """Download elements as float32."""
        bits = np.empty(count, storage_dtype(self.element))
        source = self.memory[name].pointer + start * self.element.itemsize
        if count:
            call("cuMemcpyDtoH", bits.ctypes.data, source, bits.nbytes)
        return to_float32(bits, self.element)


def _upload(array: Any) -> Memory:
    memory = Memory(array.nbytes)
    memory.upload(array)
    return memory


def run_appends(stream: int) -> Iterator[tuple[str, str]]:
    """Run each case; yield its name and what went wrong, if anything."""
    for case in APPENDS:
        yield case.name, _Append(case).run(stream)
