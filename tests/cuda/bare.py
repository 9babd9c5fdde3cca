"""A case run by the four verbs alone, on raw device memory."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

import flashdec
from flashdec import _abi
from kit.arrays import Arrays, build
from kit.backends import Result, natural_alignment
from kit.case import Case
from kit.driver import Memory, call

NAMES = ("q", "k", "v", "o", "lse", "kv_len", "page_table")
BOUNDARY = 256  # bytes behind the workspace that nobody may write
SENTINEL = 0xA5

# Small, paged, and in more than one split whatever the kernel's tile is.
SPLIT = Case("bfloat16", 3, 2, 4, 64, 64, 600, (600, 0, 333), 16, split_len=64, seed=3)


def last_error() -> str:
    return _abi.last_error().decode()


def run_python(program: str, **variables: str) -> Any:
    """Run a program in a process of its own, with these helpers to import."""
    here = Path(__file__).parent
    paths = [str(here), str(here.parent), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths)), **variables}
    command = [sys.executable, "-c", program]
    return subprocess.run(command, capture_output=True, text=True, env=environment)


def root_of(array: Any) -> Any:
    """The array that owns the memory that this one is a view of."""
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array


def offset_of(array: Any) -> int:
    return int(array.ctypes.data - root_of(array).ctypes.data)


class Bare:
    """Descriptor, plan and args as C structs; every array at a raw address, its strides kept.

    Takes the plan of another one if given, and lives in the context that is current.
    """

    def __init__(self, case: Case = SPLIT, plan: Any = None, stream: int | None = None) -> None:
        self.case, self.arrays = case, build(case)
        self.desc = case.descriptor(self.arrays.num_pages, natural_alignment(self.arrays))
        self.wishes = case.preference(prefer_backend="cuda")
        self.plan = self.select(stream) if plan is None else plan
        self.memory = self._allocate()
        self.status = Memory(4)
        self.args = self._make_args()
        size, align = ctypes.c_uint64(), ctypes.c_uint64()
        assert _abi.workspace_size(_abi.address(self.plan), size, align) == 0, last_error()
        self.nbytes = size.value
        self.workspace = Memory(self.nbytes + BOUNDARY)
        assert self.workspace.pointer % align.value == 0
        self.reset()

    def select(self, stream: int | None = None) -> Any:
        """Select a plan; the environment may have changed since the last one."""
        desc, wishes, plan = self.desc.to_c(), self.wishes.to_c(), _abi.CPlan()
        status = _abi.select(_abi.address(desc), _abi.address(wishes), stream, _abi.address(plan))
        assert status == 0, last_error()
        return plan

    def _allocate(self) -> dict[str, Memory]:
        """Memory for each array; views of the same memory share one."""
        shared: dict[int, Memory] = {}
        found = {}
        for name in NAMES:
            array = getattr(self.arrays, name)
            if isinstance(array, np.ndarray):
                root = root_of(array)
                if id(root) not in shared:
                    shared[id(root)] = Memory(root.nbytes)
                found[name] = shared[id(root)]
        return found

    def _make_args(self) -> Any:
        args = _abi.sized(_abi.CArgs)
        for name, memory in self.memory.items():
            setattr(args, name, memory.pointer + offset_of(getattr(self.arrays, name)))
        args.status = self.status.pointer
        if isinstance(self.arrays.kv_len, int):
            args.flags, args.uniform_kv_len = _abi.ARGS_UNIFORM_KV_LEN, self.arrays.kv_len
        if self.case.base2:
            args.flags |= _abi.ARGS_BASE2
        middle = ("token", "head") if self.case.layout == "bshd" else ("head", "token")
        axes = dict.fromkeys("kv", ("batch", *middle)) | dict.fromkeys("qo", ("batch", "head"))
        if "lse" in self.memory:
            axes["lse"] = ("batch", "head")
        for name, labels in axes.items():
            array = getattr(self.arrays, name)
            steps = [stride // array.itemsize for stride in array.strides]
            for label, step in zip(labels, steps, strict=False):  # the last axis is packed
                setattr(args, f"{name}_stride_{label}", step)
        if "page_table" in self.memory:
            args.page_table_stride = self.arrays.page_table.strides[0] // 4
        return args

    def reset(self, arrays: Arrays | None = None) -> None:
        """Put arrays of the same shapes up, this case's own unless others are given."""
        for name, memory in self.memory.items():
            memory.upload(root_of(getattr(arrays or self.arrays, name)))
        self.status.upload(np.zeros(1, np.uint32))
        self.workspace.upload(np.full(self.workspace.nbytes, SENTINEL, np.uint8))
        call("cuCtxSynchronize")  # a copy from pageable memory may still be on its way

    def can_implement(self) -> int:
        return int(_abi.can_implement(_abi.address(self.plan), _abi.address(self.args)))

    def run(
        self, stream: int | None = None, *, nbytes: int = -1, workspace: int | None = -1
    ) -> int:
        """Call flashdec_run and return its status."""
        return int(
            _abi.run(
                _abi.address(self.plan),
                _abi.address(self.args),
                self.workspace.pointer if workspace == -1 else workspace,
                self.nbytes if nbytes == -1 else nbytes,
                stream,
            )
        )

    def _view(self, name: str) -> Any:
        """What an array holds now, with its strides."""
        like = getattr(self.arrays, name)
        back = self.memory[name].download()
        return np.ndarray(like.shape, like.dtype, back, offset_of(like), like.strides)

    def fetch(self) -> Result:
        """Wait, and return what a run left."""
        slab = self.memory["o"].download().view(self.arrays.slab.dtype)
        return Result(
            o=self._view("o"),
            lse=self._view("lse") if "lse" in self.memory else None,
            slab=slab.reshape(self.arrays.slab.shape),
            status=int(self.status.download().view(np.uint32)[0]),
            plan=self.python_plan(),
        )

    def everything(self) -> list[bytes]:
        """Every byte that a run could write."""
        watched = [*self.memory.values(), self.status, self.workspace]
        return [memory.download().tobytes() for memory in watched]

    def python_plan(self) -> flashdec.Plan:
        """The same plan behind the Python class."""
        return flashdec.Plan._wrap(self.plan, self.desc, self.wishes)

    def pointer_args(self) -> flashdec.PointerArgs:
        names = flashdec.PointerArgs.field_names()
        return flashdec.PointerArgs(**{name: getattr(self.args, name) or 0 for name in names})

    def python_workspace(self) -> flashdec.Workspace:
        device = self.python_plan().device
        return flashdec.Workspace(self.workspace.pointer, self.nbytes, device, self.workspace)
