"""Plans for machines that are not there."""

from __future__ import annotations

import ctypes
import platform
from dataclasses import dataclass
from typing import Any

from flashdec import _abi

F32, F16, BF16 = 1, 2, 3
# The values of Isa that kernels of this architecture have, the best one last.
REFERENCE, GENERIC = 0, 1
ISAS = {
    "reference": REFERENCE,
    "generic": GENERIC,
    **(
        {"neon": 5, "neonbf16": 6}
        if platform.machine() == "aarch64"
        else {"avx2": 2, "avx512": 3, "avx512bf16": 4}
    ),
}
BEST_ISA = max(ISAS.values())
CPU, CUDA = 1, 2
BATCH_INVARIANT, NO_SM90A, NO_WORKSPACE = 1, 2, 4

PROBLEM = {
    "batch": 1, "q_heads": 32, "kv_heads": 8, "max_kv_len": 8192, "head_dim": 128,
    "q_dtype": BF16, "kv_dtype": BF16,
}  # fmt: skip


class CMachine(ctypes.Structure):  # UnitMachine of shim.cpp
    _fields_ = [
        ("arch", ctypes.c_int32),
        ("sm_count", ctypes.c_int32),
        ("smem", ctypes.c_int64),
        ("isa", ctypes.c_uint32),
        ("isa_forced", ctypes.c_uint32),
        ("threads", ctypes.c_uint32),
        ("reserved", ctypes.c_uint32),
        ("memory_bandwidth", ctypes.c_int64),
    ]


class CKernel(ctypes.Structure):  # UnitKernel of shim.cpp
    _fields_ = [
        ("arch", ctypes.c_int32),
        ("needs_sm90a", ctypes.c_uint32),
        ("layout", ctypes.c_uint32),
        ("element", ctypes.c_uint32),
        ("max_head_dim", ctypes.c_int64),
        ("alignment", ctypes.c_int64),
        ("tile", ctypes.c_int64),
        ("heads", ctypes.c_int64),
        ("smem", ctypes.c_int64),
        ("blocks_per_sm", ctypes.c_int64),
        ("max_group", ctypes.c_int64),
        ("row_multiple", ctypes.c_int64),
        ("page_multiple", ctypes.c_int64),
        ("persistent", ctypes.c_uint32),
        ("levels", ctypes.c_uint32),
        ("warps", ctypes.c_int64),
    ]


@dataclass(frozen=True)
class Machine:
    """A GPU and a processor; ``arch`` 0 is a machine without a GPU."""

    arch: int = 90
    sm_count: int = 132
    smem: int = 227 * 1024
    isa: int = BEST_ISA
    isa_forced: bool = False
    threads: int = 8
    memory_bandwidth: int = 3_352_320_000_000  # of an H100

    def to_c(self) -> Any:
        return CMachine(
            self.arch, self.sm_count, self.smem, self.isa, self.isa_forced, self.threads, 0,
            self.memory_bandwidth,
        )  # fmt: skip


class RefusedError(Exception):
    """A status that is not success, and its sentence."""

    def __init__(self, code: int, sentence: str) -> None:
        super().__init__(f"{code}: {sentence}")
        self.code, self.sentence = code, sentence


@dataclass(frozen=True)
class Planned:
    """A plan: what it decided, its kernel's row and its bytes."""

    facts: Any
    kernel: Any
    name: str
    batch_invariant: bool
    content: bytes


def _filled(kind: Any, fields: dict[str, Any]) -> Any:
    made = _abi.sized(kind)
    for name, value in fields.items():
        setattr(made, name, value)
    return made


def _raise_unless_zero(core: Any, code: int) -> None:
    if code:
        raise RefusedError(code, core.flashdec_last_error().decode())


def plan(core: Any, machine: Machine, desc: dict[str, Any], **preference: Any) -> Planned:
    """Select for a machine; the preference's fields are keywords."""
    made, facts, sku = _abi.CPlan(), _abi.sized(_abi.CPlanFacts), _abi.sized(_abi.CKernelSku)
    wishes = _filled(_abi.CPreference, preference)
    c_desc = _filled(_abi.CDescriptor, {**PROBLEM, **desc})
    call = [ctypes.byref(each) for each in (c_desc, wishes, machine.to_c(), made)]
    _raise_unless_zero(core, core.unit_select(*call))
    _raise_unless_zero(core, core.flashdec_plan_info(ctypes.byref(made), ctypes.byref(facts)))
    _raise_unless_zero(core, core.flashdec_sku(ctypes.byref(made), ctypes.byref(sku)))
    row = CKernel()
    core.unit_kernel(facts.kernel, ctypes.byref(row))
    invariant = bool(sku.guarantee.batch_invariant)
    return Planned(facts, row, sku.name.decode(), invariant, bytes(made))


def why_not(core: Any, kernel: dict[str, Any], machine: Machine, desc: dict[str, Any],
            **preference: Any) -> None:  # fmt: skip
    """Raise the refusal of a CUDA kernel with these properties."""
    usual = {"arch": 80, "layout": 3, "element": BF16, "max_head_dim": 256}
    row = CKernel(**{**usual, **kernel})
    wishes = _filled(_abi.CPreference, preference)
    c_desc = _filled(_abi.CDescriptor, {**PROBLEM, **desc})
    call = [ctypes.byref(each) for each in (row, c_desc, wishes, machine.to_c())]
    _raise_unless_zero(core, core.unit_why_not(*call))
