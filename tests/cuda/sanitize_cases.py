"""Small runs of every CUDA row, merges and appends for compute-sanitizer: no test for pytest.

Arrays are raw device memory of exactly their size, since the tools watch allocations, and what a
run must write before it reads is left as it comes.  Results need only be finite where they should
be: the tests compare them.  ci/sanitize_cuda.sh runs it.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))

from sanitize_appends import APPENDS, run_appends
from sanitize_kinds import KINDS, ROWS, Kind, Row, case_of
from sanitize_merges import MERGES, run_merges

import flashdec
from flashdec import _abi
from flashdec._storage import from_float32, storage_dtype, to_float32
from kit.case import Case
from kit.driver import Memory, call, driver, enter, new_stream

PREPARED_BYTE = 0xFF
APPEND, MERGE = "cuda_append", "cuda_merge"


class Operands:
    """The arrays of a case on the device, and the arguments of a run."""

    def __init__(self, case: Case, kind: Kind) -> None:
        self.case = case
        self.rng = np.random.default_rng(7)
        table = self._page_table(kind.bad_page) if case.page_size else None
        self.num_pages = 0 if table is None else table.size
        blocks, tokens = self.num_pages or case.batch, case.page_size or case.capacity
        heads_first = case.layout == "bhsd"
        middle = (case.kv_heads, tokens) if heads_first else (tokens, case.kv_heads)
        word = np.zeros(1, np.uint32)
        self.q = self._random((case.batch, case.q_heads, case.head_dim))
        self.k = self._random((blocks, *middle, case.head_dim))
        self.v = self._random((blocks, *middle, case.head_dim_v))
        self.results = case.batch * case.q_heads
        self.o = Memory(self.results * case.head_dim_v * case.element.itemsize)
        self.lse = Memory(self.results * 4) if case.lse else None
        self.status = self._upload(word)
        self.args = flashdec.PointerArgs(
            q=self.q.pointer, k=self.k.pointer, v=self.v.pointer, o=self.o.pointer,
            status=self.status.pointer, **self._strides(middle, heads_first),
        )  # fmt: skip
        if self.lse is not None:
            self.args.lse = self.lse.pointer
        if isinstance(case.lengths, tuple):
            self.kv_len = self._upload(np.array(case.lengths, np.int32))
            self.args.kv_len = self.kv_len.pointer
        elif case.lengths is not None:
            self.args.flags, self.args.uniform_kv_len = _abi.ARGS_UNIFORM_KV_LEN, case.lengths
        if table is not None:
            self.table = self._upload(table)
            self.args.page_table = self.table.pointer
            self.args.page_table_stride = table.shape[1]
        call("cuCtxSynchronize")  # a copy from pageable memory may still be on its way

    def _strides(self, middle: tuple[int, int], heads_first: bool) -> dict[str, int]:
        case, strides = self.case, {}
        rows = {"q": case.head_dim, "o": case.head_dim_v, "k": case.head_dim, "v": case.head_dim_v}
        for name, row in rows.items():
            inner, outer = ("token", "head") if heads_first else ("head", "token")
            if name in "qo":
                strides[f"{name}_stride_head"] = row
                strides[f"{name}_stride_batch"] = case.q_heads * row
                continue
            strides[f"{name}_stride_{inner}"] = row
            strides[f"{name}_stride_{outer}"] = middle[1] * row
            strides[f"{name}_stride_batch"] = middle[0] * middle[1] * row
        return strides | {"lse_stride_head": 1, "lse_stride_batch": case.q_heads}

    def _random(self, shape: tuple[int, ...]) -> Memory:
        some = self.rng.standard_normal(4099, np.float32)  # a prime: rows differ
        return self._upload(np.resize(from_float32(some, self.case.element), shape))

    def _upload(self, array: Any) -> Memory:
        memory = Memory(array.nbytes)
        memory.upload(array)
        return memory

    def _page_table(self, bad: bool) -> Any:
        """A permutation; entries behind the live ones, which nobody may follow, are far outside."""
        case = self.case
        width = -(-case.capacity // case.page_size)
        table = self.rng.permutation(case.batch * width).astype(np.int32)
        table = table.reshape(case.batch, width)
        for row, length in zip(table, case.row_lengths, strict=True):
            row[-(-length // case.page_size) :] = 2**31 - 1
        if bad:
            table[1, 0] = table.size
        return table

    def complaint(self, kind: Kind) -> str:
        """What is wrong with the results; empty if nothing is."""
        case = self.case
        lengths = np.array(case.row_lengths)
        bad = (lengths < 0) | (lengths > case.capacity)
        faults = flashdec.Fault.KV_LEN if bad.any() else flashdec.Fault(0)
        if kind.bad_page:
            bad[1], faults = True, flashdec.Fault.PAGE
        found = int(self.status.download().view(np.uint32)[0])
        if found != faults:
            return f"the status word is {found}, not {int(faults)}"
        bits = self.o.download().view(storage_dtype(case.element)).reshape(case.batch, -1)
        if (np.isfinite(to_float32(bits, case.element)).all(1) == bad).any():
            return "o is not finite, or finite beside a fault"
        if self.lse is None:
            return ""
        lse = self.lse.download().view(np.float32).reshape(case.batch, -1)
        if (np.isfinite(lse).all(1) == (bad | (lengths == 0))).any():
            return "lse is not finite, or finite beside a fault or for no tokens"
        return ""


def make_workspace(plan: flashdec.Plan, prepared: bool, stream: int) -> Any:
    """Exactly what the plan needs, as it comes unless it is to be prepared."""
    if plan.workspace_size == 0:
        return None
    memory = Memory(plan.workspace_size)
    workspace = flashdec.Workspace(memory.pointer, memory.nbytes, plan.device, memory)
    return workspace.prepare(plan, stream) if prepared else workspace


def run(row: Row, kind: Kind, stream: int) -> tuple[str, str]:
    """Run a case; return the plan and what went wrong, if anything."""
    case = case_of(row, kind)
    operands = Operands(case, kind)
    simple = case.element.itemsize if row.folder == "simple" else 16
    wishes = case.preference(prefer_backend="cuda", allow_sm90a=row.folder == "sm90")
    plan = flashdec.Plan.select(case.descriptor(operands.num_pages, simple), wishes)
    if plan.sku.name != row.name:
        return repr(plan), f"{row.name} was not chosen"
    if kind.cut and plan.info.max_splits == 1:
        return repr(plan), "the plan cuts nothing"
    workspace = make_workspace(plan, kind.prepared, stream)
    for _ in range(2 if kind.prepared else 1):
        plan.run(operands.args, workspace, stream=stream)
    call("cuStreamSynchronize", stream)
    complaint = operands.complaint(kind)
    if kind.prepared and workspace is not None and not complaint:
        restored = (workspace.owner.download() == PREPARED_BYTE).all()
        complaint = "" if restored else "the workspace is not as it was prepared"
    return repr(plan), complaint


def capability() -> int:
    """Return the device's compute capability, 10 * major + minor."""
    device, which = call("cuDeviceGet", 0), driver().CUdevice_attribute
    major = which.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR
    minor = which.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR
    return 10 * int(call("cuDeviceGetAttribute", major, device)) + int(
        call("cuDeviceGetAttribute", minor, device)
    )


def selected(options: argparse.Namespace) -> Iterator[tuple[Row, str]]:
    """Yield the cases that the command line asks for."""
    for row in ROWS:
        for name, kind in KINDS.items():
            case = case_of(row, kind)
            wanted = re.search(options.rows, row.name) and case.capacity <= options.max_kv_len
            if wanted and row.takes(case, kind.paced) and (kind.light or options.checks == "all"):
                yield row, name


def present(options: argparse.Namespace) -> set[str]:
    """The CUDA rows of this build that the device has and the command line asks for."""
    hopper = capability() == 90  # code for sm_90a runs there alone
    return {
        kernel.name
        for kernel in flashdec.kernels()
        if kernel.backend == flashdec.Backend.CUDA
        and re.search(options.rows, kernel.name)
        and (hopper or "_sm90_" not in kernel.name)
    }


def run_all(options: argparse.Namespace) -> int:
    """Run and print each case; return the exit status."""
    enter()
    stream, missing = new_stream(), present(options)
    rows, chosen, failures, count = frozenset(missing), set[str](), 0, 0
    for row, name in selected(options):
        if row.name not in rows:
            continue
        try:
            plan, complaint = run(row, KINDS[name], stream)
        except flashdec.FlashdecError as error:
            plan, complaint = "no plan", f"refused: {error}"
        count += 1
        failures += bool(complaint)
        if not complaint:
            chosen.add(row.name)
        print(f"{row.name} {name}: {complaint or 'ok'}; {plan}", flush=True)
    for verb, run_verb in ((MERGE, run_merges), (APPEND, run_appends)):
        for name, complaint in run_verb(stream) if re.search(options.rows, verb) else ():
            count += 1
            failures += bool(complaint)
            print(f"{verb} {name}: {complaint or 'ok'}", flush=True)
    missing -= chosen
    print(f"{count} cases of {len(chosen)} rows, {failures} failed", flush=True)
    if missing or not rows:
        print(f"rows without a run: {', '.join(sorted(missing)) or 'all'}", flush=True)
    return int(failures > 0 or bool(missing) or not rows)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--list", action="store_true", help="print the cases, run none")
    parser.add_argument("--rows", default="", metavar="REGEX", help="of the names of kernel rows")
    parser.add_argument("--checks", choices=("all", "light"), default="all")
    parser.add_argument("--max-kv-len", type=int, default=1 << 30, help="leave out longer caches")
    options = parser.parse_args()
    if not options.list:
        return run_all(options)
    for row, name in selected(options):
        print(row.name, name)
    if re.search(options.rows, MERGE):
        for merge in MERGES:
            print(MERGE, merge.name)
    if re.search(options.rows, APPEND):
        for append in APPENDS:
            print(APPEND, append.name)
    return 0


if __name__ == "__main__":
    sys.exit(main())
