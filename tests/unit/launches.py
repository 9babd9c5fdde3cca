"""A launch of the tensor-core kernels on the host (emulation/): arrays, the run, and the check.

What a GPU would show only by chance is an error here: threads that wait for ever, lanes that part,
a tile that is read before it has arrived, a copy that outlives its block, a workspace that is not
left as it was found.  The order in which warps take turns is drawn anew for every case.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from planner import BF16, F16, Machine, Planned, plan

from flashdec import _abi
from flashdec.dtypes import DType
from flashdec.reference import Exact, error_bound, exact_decode, lse_bound

Array = npt.NDArray[Any]
DTYPES = {BF16: DType.BFLOAT16, F16: DType.FLOAT16}
H100, H200 = 3_352_320_000_000, 4_916_736_000_000  # bytes a second
KERNELS = {
    f"cuda_{sm}_{name}"
    for sm in ("sm80", "sm90")
    for name in ("bf16_d128_h8", "bf16_d192_h8", "f16_d64_h16")
}


KEPT: list[Array] = []  # so that the lengths of every run are elsewhere


@dataclass(frozen=True)
class Case:
    """A problem and how it is run.

    ``lengths``: a number is known to the host.  ``resident``: blocks that there is room for at a
    time; 0: all.  ``first``: the block that comes first, before the one before it, and so on; 0: in
    any order.  ``naps``: one word in so many that a warp writes for others sends it to sleep for
    longer than anyone has patience; 0: none.
    """

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
    resident: int = 0
    first: int = 0
    naps: int = 0
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


def emulate(
    library: Any, case: Case, arrays: Arrays, gap: int = 0, lse_gap: int = 0
) -> tuple[Array, Array]:
    """The bits of o, and lse, in rows with gaps; checks what is left in the workspace."""
    planned = make_plan(library, case)
    assert planned.name in KERNELS
    content = (ctypes.c_uint64 * 128).from_buffer_copy(planned.content)
    heads = case.kv_heads * case.group
    o = np.full((case.batch, heads + gap, case.head_dim_v), 0xFFFF, np.uint16)[:, :heads]
    lse = np.full((case.batch, heads + lse_gap), 7.0, np.float32)[:, :heads]
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
    args.lse_stride_batch, args.lse_stride_head = heads + lse_gap, 1
    if isinstance(case.lengths, int):
        args.flags, args.uniform_kv_len = _abi.ARGS_UNIFORM_KV_LEN, case.lengths
    else:
        lengths = np.array(case.lengths, np.int32)
        args.kv_len = lengths.ctypes.data
        KEPT.append(lengths)
    if arrays.table is not None:
        args.page_table = arrays.table.ctypes.data
        (args.page_table_stride,) = strides(arrays.table)
    if case.prepared:
        args.flags |= _abi.ARGS_PREPARED_WORKSPACE
    library.unit_emulate(
        ctypes.c_uint64(case.seed), ctypes.c_int32(case.refuses_together),
        ctypes.c_uint32(case.resident), ctypes.c_uint32(case.first), ctypes.c_uint32(case.naps),
    )  # fmt: skip
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


def check_twice(library: Any, case: Case, seed: int) -> None:
    """Against float64; and in another order of the warps, in one launch or two, the same bits."""
    arrays, exact = make_arrays(case, np.random.default_rng(seed))
    o, lse = emulate(library, case, arrays)
    check(case, o, lse, exact)
    other = replace(
        case, seed=case.seed + 1000, refuses_together=not case.refuses_together, resident=0
    )
    again, lse_again = emulate(library, other, arrays)
    assert np.array_equal(o, again)
    assert np.array_equal(lse, lse_again, equal_nan=True)


USUAL = Case(
    dtype=BF16, batch=2, kv_heads=2, group=4, head_dim=128, head_dim_v=128, max_kv_len=700,
    lengths=700,
)  # fmt: skip
